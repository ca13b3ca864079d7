"""The 19 corruptions of ImageNet-C, at five severities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.errors import UsageError, nearest
from deeptroubles.methods.parameters import Seed, Severity
from deeptroubles.methods.transforms.shared import corruption_blur as blur
from deeptroubles.methods.transforms.shared import corruption_digital as digital
from deeptroubles.methods.transforms.shared import corruption_noise as noise
from deeptroubles.methods.transforms.shared import corruption_weather as weather

SEVERITIES = (1, 2, 3, 4, 5)
SMALL_SIDE = 64
"""Images with a shorter side of at most this many pixels use the settings published for 32 pixels (CIFAR-10-C)."""
MIN_SIDE = 28


@dataclass(frozen=True)
class Corruption:
    """A corruption with its published settings for the five severities.

    Attributes:
        apply: `apply(image, random, *settings)`, from H x W x C to H x W x C.
        large: Settings of ImageNet-C (224 pixels).
        small: Settings of CIFAR-10-C (32 pixels).
        in_sides: The settings are multiples of the shorter side instead of pixels.
    """

    apply: Callable[..., NDArray[np.float64]]
    large: tuple[tuple[Any, ...], ...]
    small: tuple[tuple[Any, ...], ...]
    in_sides: bool = False


def _single(*numbers: float) -> tuple[tuple[float], ...]:
    return tuple((number,) for number in numbers)


_ELASTIC = 244 / 224
"""The authors' code has 244 where 224 was meant."""

MAIN: dict[str, Corruption] = {
    "gaussian_noise": Corruption(
        noise.gaussian_noise, _single(0.08, 0.12, 0.18, 0.26, 0.38), _single(0.04, 0.06, 0.08, 0.09, 0.10)
    ),
    "shot_noise": Corruption(noise.shot_noise, _single(60, 25, 12, 5, 3), _single(500, 250, 100, 75, 50)),
    "impulse_noise": Corruption(
        noise.impulse_noise, _single(0.03, 0.06, 0.09, 0.17, 0.27), _single(0.01, 0.02, 0.03, 0.05, 0.07)
    ),
    "defocus_blur": Corruption(
        blur.defocus_blur,
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    "glass_blur": Corruption(
        blur.glass_blur,
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    "motion_blur": Corruption(
        blur.motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
    ),
    "zoom_blur": Corruption(
        blur.zoom_blur,
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    ),
    "snow": Corruption(
        weather.snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": Corruption(
        weather.frost,
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    ),
    "fog": Corruption(
        weather.fog,
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    "brightness": Corruption(weather.brightness, _single(0.1, 0.2, 0.3, 0.4, 0.5), _single(0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Corruption(digital.contrast, _single(0.4, 0.3, 0.2, 0.1, 0.05), _single(0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": Corruption(
        digital.elastic_transform,
        tuple(
            (a * _ELASTIC, b * _ELASTIC, c * _ELASTIC)
            for a, b, c in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
        ),
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        in_sides=True,
    ),
    "pixelate": Corruption(digital.pixelate, _single(0.6, 0.5, 0.4, 0.3, 0.25), _single(0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": Corruption(digital.jpeg_compression, _single(25, 18, 15, 10, 7), _single(80, 65, 58, 50, 40)),
}
"""The 15 corruptions over which the error on ImageNet-C is averaged."""

EXTRA: dict[str, Corruption] = {
    "speckle_noise": Corruption(
        noise.speckle_noise, _single(0.15, 0.2, 0.35, 0.45, 0.6), _single(0.06, 0.1, 0.12, 0.16, 0.2)
    ),
    "gaussian_blur": Corruption(blur.gaussian_blur, _single(1, 2, 3, 4, 6), _single(0.4, 0.6, 0.7, 0.8, 1)),
    "spatter": Corruption(
        weather.spatter,
        (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
    ),
    "saturate": Corruption(
        digital.saturate,
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    ),
}
"""The four extra corruptions of ImageNet-C, for validation."""

CORRUPTIONS = MAIN | EXTRA


def corrupt(images: Tensor, name: str, severity: Severity, *, seed: Seed = 0) -> Tensor:
    """Corrupt images as ImageNet-C does.

    Settings are those of the authors' code: ImageNet-C's, in pixels for any image size, or CIFAR-10-C's where the
    shorter side has 64 pixels or fewer. Lengths of the elastic transform are multiples of the shorter side. Differences
    from the published files: frost is drawn instead of photographed; the result is not rounded to 8 bits or compressed
    as JPEG again; `spatter` uses other routines for edges and distances; grayscale images get the luma of the
    colors, and `saturate` does not change them.

    Args:
        images: N x C x H x W in [0, 1], C is 1 or 3, at least 28 pixels along each side.
        name: A key of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: Image i uses `seed + i`, so the result does not depend on batches.

    Returns:
        A new tensor like `images`, in [0, 1].

    Raises:
        UsageError: There is no such corruption or severity, or the images are too small or have other channels.

    References:
        D. Hendrycks, T. Dietterich, Benchmarking neural network robustness to common corruptions and perturbations,
        ICLR 2019.
    """
    return corrupt_each(images, name, [severity] * len(images), [seed + i for i in range(len(images))])


def corrupt_each(images: Tensor, name: str, severities: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """As `corrupt`, with a severity (1 to 5) and a seed for each image."""
    if name not in CORRUPTIONS:
        raise UsageError(f"There is no corruption {name!r}.{nearest(name, CORRUPTIONS)}")
    wrong = next((severity for severity in severities if severity not in SEVERITIES), None)
    if wrong is not None:
        raise UsageError(f"There is no severity {wrong!r}; choose 1 to 5.")
    side = min(images.shape[-2:])
    if images.ndim != 4 or images.shape[1] not in {1, 3} or side < MIN_SIDE:
        raise UsageError(
            f"Images of the shape {' x '.join(map(str, images.shape))} cannot be corrupted; give N x C x H x W with 1 "
            f"or 3 channels and at least {MIN_SIDE} pixels along each side."
        )
    corruption = CORRUPTIONS[name]
    table = corruption.small if side <= SMALL_SIDE else corruption.large

    def corrupted(image: Tensor, severity: int, seed: int) -> Tensor:
        settings = table[severity - 1]
        if corruption.in_sides:
            settings = tuple(setting * side for setting in settings)
        before = image.permute(1, 2, 0).double().numpy().copy()
        after = np.clip(corruption.apply(before, np.random.default_rng(seed), *settings), 0, 1)
        return torch.from_numpy(after).permute(2, 0, 1).to(images)

    found = list(map(corrupted, images.detach().cpu(), severities, seeds))
    return torch.stack(found) if found else images.clone()
