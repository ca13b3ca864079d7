"""Treatments: what can be done to a whole photograph, such as strong compression, in amounts."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.eight_bits import as_8_bit, to_bytes
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.shared.color import grayscale

STEPS = 24
"""Amounts that are tried to match the strength of another treatment."""


@dataclass(frozen=True)
class Treatment:
    """Something that can be done to a whole photograph.

    Attributes:
        sort: What it changes: `detail`, `color` or `tone`.
        apply: Treats images (N x C x H x W, in [0, 1]) by an amount.
        amounts: Amounts to look for, from weak to strong.
    """

    sort: str
    apply: Callable[[Tensor, float], Tensor]
    amounts: tuple[float, ...]


def treat(images: Tensor, name: str, amount: float) -> Tensor:
    """Images (N x C x H x W, in [0, 1]) after a treatment, rounded to 8 bits; `name` is a key of TREATMENTS."""
    return as_8_bit(TREATMENTS[name].apply(images, amount).clamp(0, 1))


def change(images: Tensor, name: str, amount: float) -> float:
    """The root mean square change of the pixel values."""
    return float((treat(images, name, amount) - images).square().mean().sqrt())


def amount_for(images: Tensor, name: str, wanted: float) -> float:
    """The amount of a treatment that changes images by about a root mean square of `wanted`."""
    return float(
        min(np.linspace(*_range(name), STEPS).tolist(), key=lambda amount: abs(change(images, name, amount) - wanted))
    )


def is_amount(name: str, amount: float) -> bool:
    """Whether there is such a treatment, in such an amount."""
    return name in TREATMENTS and min(_range(name)) <= amount <= max(_range(name))


def _range(name: str) -> tuple[float, float]:
    """The weakest and the strongest amount of a treatment."""
    weakest, *_, strongest = TREATMENTS[name].amounts
    return weakest + (weakest - strongest) / 4, strongest


def _compress(images: Tensor, quality: float) -> Tensor:
    read = []
    for image in to_bytes(images).numpy():
        file = io.BytesIO()
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(file, "JPEG", quality=min(95, max(2, round(quality))))
        read.append(torch.from_numpy(np.array(Image.open(file))).view(*image.shape[1:], -1).permute(2, 0, 1))
    return torch.stack(read).to(images) / 255


def _unit(images: Tensor) -> float:
    """One pixel of a photograph of 96 pixels, in pixels of these images."""
    return max(1.0, min(images.shape[-2:]) / 96)


def _blur(images: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(images, sigma * _unit(images))


def _sharpen(images: Tensor, amount: float) -> Tensor:
    return images + amount * (images - _blur(images, 0.86))


def _lower_resolution(images: Tensor, factor: float) -> Tensor:
    size = [max(2, round(side * factor)) for side in images.shape[-2:]]
    small = functional.interpolate(images, size, mode="bilinear", antialias=True)
    return functional.interpolate(small, images.shape[-2:], mode="bicubic", align_corners=False)


def _noise(images: Tensor, sigma: float) -> Tensor:
    random = torch.Generator().manual_seed(5)
    return images + sigma * torch.randn(images.shape, generator=random).to(images)


def _darken_corners(images: Tensor, amount: float) -> Tensor:
    y, x = (torch.linspace(-1, 1, side, device=images.device) for side in images.shape[-2:])
    return images * (1 - amount * (y[:, None] ** 2 + x**2) / 2)


def _gain(images: Tensor, amount: float, *, channel: int) -> Tensor:
    """Raise (or with a negative amount lower) one of three channels; the mean gain stays 1."""
    gains = torch.ones(3, device=images.device)
    gains[channel] += amount
    return images * (gains / gains.mean())[:, None, None]


def _scale(images: Tensor, factor: float) -> Tensor:
    return images * factor


def _scale_up(images: Tensor, factor: float) -> Tensor:
    return 1 - (1 - images) * factor


def _contrast(images: Tensor, factor: float) -> Tensor:
    return (images - 0.5) * factor + 0.5


def _saturate(images: Tensor, factor: float) -> Tensor:
    gray = grayscale(images)
    return gray + (images - gray) * factor


_GAINS, _LOSSES = (0.15, 0.3, 0.5, 0.8), (-0.15, -0.3, -0.5, -0.65)
TREATMENTS = {
    "JPEG compression": Treatment("detail", _compress, (70, 45, 25, 10)),
    "blur": Treatment("detail", _blur, (0.5, 0.7, 0.9, 1.3)),
    "a lower resolution": Treatment("detail", _lower_resolution, (0.75, 0.6, 0.5, 0.35)),
    "sharpening": Treatment("detail", _sharpen, (0.6, 1.0, 1.6, 2.5)),
    "noise": Treatment("detail", _noise, (0.03, 0.05, 0.08, 0.12)),
    "dark corners": Treatment("tone", _darken_corners, (0.3, 0.5, 0.7, 0.9)),
    "darkening": Treatment("tone", _scale, (0.8, 0.6, 0.4)),
    "brightening": Treatment("tone", _scale_up, (0.8, 0.6, 0.4)),
    "a lower contrast": Treatment("tone", _contrast, (0.7, 0.5, 0.3)),
    "a higher contrast": Treatment("tone", _contrast, (1.3, 1.7, 2.2)),
    "faded colors": Treatment("color", _saturate, (0.6, 0.3, 0.0)),
    "strong colors": Treatment("color", _saturate, (1.4, 1.8, 2.4)),
    "a red cast": Treatment("color", partial(_gain, channel=0), _GAINS),
    "a green cast": Treatment("color", partial(_gain, channel=1), _GAINS),
    "a blue cast": Treatment("color", partial(_gain, channel=2), _GAINS),
    "a cyan cast": Treatment("color", partial(_gain, channel=0), _LOSSES),
    "a magenta cast": Treatment("color", partial(_gain, channel=1), _LOSSES),
    "a yellow cast": Treatment("color", partial(_gain, channel=2), _LOSSES),
}
"""All treatments, by name. Those of color need three channels."""


def treatments_for(channels: int) -> dict[str, Treatment]:
    """The treatments that images with this many channels can have: three for color, one or three for JPEG."""
    possible = {name: each for name, each in TREATMENTS.items() if channels == 3 or each.sort != "color"}
    return {name: each for name, each in possible.items() if channels in {1, 3} or name != "JPEG compression"}
