"""Digital corruptions, as in ImageNet-C. Images are H x W x C (C is 1 or 3) in [0, 1]."""

from __future__ import annotations

import io
import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.transforms.shared.warp import warp

Image = NDArray[np.float64]


def contrast(image: Image, _: np.random.Generator, factor: float) -> Image:
    """Scale every channel's distance from its mean."""
    mean: Image = image.mean((0, 1))
    return (image - mean) * factor + mean


def saturate(image: Image, _: np.random.Generator, factor: float, more: float) -> Image:
    """Saturation times `factor`, plus `more`; grayscale images stay unchanged."""
    if image.shape[2] == 1:
        return image
    value, lowest = highest_and_lowest(image)
    spread = value - lowest
    saturation = np.clip(np.divide(spread, value, out=np.zeros_like(value), where=value > 0) * factor + more, 0, 1)
    # Each color lies as far below the value as its share of the spread says. Gray has the hue of red.
    scale = value * saturation / np.where(spread > 0, spread, 1)
    changed = np.stack([value - scale * (value - image[..., i]) for i in range(3)], axis=-1)
    gray = spread == 0
    if more and gray.any():
        changed[gray, 1:] = (value * (1 - saturation))[gray, None]
    return changed


def highest_and_lowest(image: Image) -> tuple[Image, Image]:
    """The highest and the lowest of the three colors, H x W."""
    # Not `max(-1)`, which is five times as slow over an axis of length 3.
    red, green, blue = (image[..., i] for i in range(3))
    return np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)


def jpeg_compression(image: Image, _: np.random.Generator, quality: int) -> Image:
    """Compress as JPEG."""
    buffer = io.BytesIO()
    _to_pillow(image).save(buffer, "JPEG", quality=quality)
    return _from_pillow(Pillow.open(buffer))


def pixelate(image: Image, _: np.random.Generator, factor: float) -> Image:
    """Shrink to a share of height and width, and enlarge again (each pixel is the mean over a box)."""
    picture = _to_pillow(image)
    small = picture.resize((int(picture.width * factor), int(picture.height * factor)), Pillow.Resampling.BOX)
    return _from_pillow(small.resize(picture.size, Pillow.Resampling.BOX))


def elastic_transform(image: Image, random: np.random.Generator, amount: float, sigma: float, shear: float) -> Image:
    """A random affine map, then a random smooth displacement of every pixel.

    The affine map shifts three corners of a square in the center by up to `shear` pixels each way. Displacements are
    `amount` times uniform noise from -1 to 1, smoothed by a Gaussian of `sigma` pixels.
    """
    height, width = image.shape[:2]
    center, reach = np.array([width, height]) // 2, min(height, width) // 3
    before = center + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + random.uniform(-shear, shear, (3, 2))
    middle = np.array([width - 1, height - 1]) / 2
    here, there = (np.column_stack([points - middle, np.ones(3)]).T for points in (before, after))
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    sheared = warp(planes, torch.from_numpy(here @ np.linalg.inv(there)), "mirror")[0].numpy()
    # Drawn in the order of the authors' code: first right, then down.
    right, down = (amount * smooth(random.uniform(-1, 1, (height, width)), sigma) for _ in range(2))
    return displaced(sheared, down, right).transpose(1, 2, 0)


def displaced(planes: Image, down: Image, right: Image) -> Image:
    """Planes (C x H x W) whose pixels come from so far away (H x W, in pixels); `map_coordinates` of order 1."""
    height, width = down.shape
    grid = np.empty((1, height, width, 2))
    grid[0, ..., 0] = (2 * (right + np.arange(width)) + 1) / width - 1
    grid[0, ..., 1] = (2 * (down + np.arange(height)[:, None]) + 1) / height - 1
    source, places = torch.from_numpy(planes)[None], torch.from_numpy(grid)
    # Without aligned corners, reflection is about the outer edge of the border, as SciPy's mode "reflect".
    return functional.grid_sample(source, places, padding_mode="reflection", align_corners=False)[0].numpy()


def smooth(values: Image, sigma: float) -> Image:
    """`gaussian_filter(values, sigma, mode="reflect", truncate=3)`, fast even where sigma is as long as the image."""
    down, right = (_smoothing(length, sigma) for length in values.shape)
    # PyTorch's product keeps to PyTorch's number of threads; NumPy's takes all cores.
    return (down @ torch.from_numpy(values) @ right.T).numpy()


@lru_cache(maxsize=16)
def _smoothing(length: int, sigma: float) -> Tensor:
    """The matrix that smooths `length` values.

    Values reflected at their border are sums of cosines, which a symmetric filter only scales.
    """
    radius = int(3 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-offsets.square() / (2 * max(sigma, 1e-12) ** 2))
    places = torch.arange(length, dtype=torch.float64)
    frequencies = math.pi * places / length
    scales = torch.cos(frequencies[:, None] * offsets) @ (weights / weights.sum())
    waves = torch.cos(frequencies[:, None] * (places + 0.5))
    back = waves.T * torch.where(places > 0, 2.0, 1.0) / length
    return back * scales @ waves


def _to_pillow(image: Image) -> Pillow.Image:
    array = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Pillow.fromarray(array[..., 0] if image.shape[2] == 1 else array)


def _from_pillow(picture: Pillow.Image) -> Image:
    array = np.asarray(picture, dtype=np.float64) / 255
    return array[..., None] if array.ndim == 2 else array
