"""Noise, as in ImageNet-C. Images are H x W x C in [0, 1]; results can leave that range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]


def gaussian_noise(image: Image, random: np.random.Generator, std: float) -> Image:
    """Additive normal noise."""
    return image + random.normal(0, std, image.shape)


def shot_noise(image: Image, random: np.random.Generator, photons: float) -> Image:
    """Poisson noise; white is `photons` photons."""
    return random.poisson(image * photons) / photons


def impulse_noise(image: Image, random: np.random.Generator, share: float) -> Image:
    """Set a share of the values to 0 or 1, with equal probability."""
    hit, white = random.random(image.shape) < share, random.random(image.shape) < 0.5
    return np.where(hit, white.astype(float), image)


def speckle_noise(image: Image, random: np.random.Generator, std: float) -> Image:
    """Normal noise proportional to the value."""
    return image + image * random.normal(0, std, image.shape)
