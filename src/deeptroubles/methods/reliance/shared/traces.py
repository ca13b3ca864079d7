"""Traces that treatments leave in photographs: numbers about detail, tone and color."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.transforms.shared.color import grayscale

BANDS = 6
VALUES = 4096
"""Pixels of an image for quantiles, at equal distances."""
_LAPLACE = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None] / 6


def traces(images: Tensor) -> Tensor:
    """Numbers that treatments change, for images N x C x H x W in [0, 1] (H and W at least 16): N x D.

    They are steps between bands of the spectrum, fine detail in smooth, usual and rough regions, values that JPEG would
    have rounded to zero, brightness of the corners, quantiles of brightness, and where there are three channels balance
    and strength of the colors.
    """
    gray = (grayscale(images) if images.shape[1] == 3 else images).mean(1)
    parts = [_steps(gray), _detail(gray), _blocks(gray), _tone(images, gray)]
    if images.shape[1] == 3:
        parts.append(_color(images, gray))
    return torch.cat(parts, dim=1)


def _steps(gray: Tensor) -> Tensor:
    """Differences of the logarithmic energy in neighboring bands of frequency."""
    height, width = gray.shape[-2:]
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
    energy = torch.fft.fft2((gray - gray.mean((1, 2), keepdim=True)) * window.to(gray)).abs() ** 2
    radius = (torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.fftfreq(width) ** 2).sqrt()
    edges = torch.linspace(1 / min(height, width), 0.5, BANDS + 1)
    bands = [energy[:, (radius >= low) & (radius < high)].mean(1) for low, high in pairwise(edges)]
    return torch.stack(bands, dim=1).clamp_min(1e-8).log().diff(dim=1)


def _detail(gray: Tensor) -> Tensor:
    """Fine detail of smooth, usual and rough blocks, and how much of it stands out (kurtosis)."""
    fine = functional.conv2d(gray[:, None], _LAPLACE.to(gray))
    side = max(4, min(gray.shape[-2:]) // 8)
    blocks = functional.avg_pool2d(fine.abs(), side, side).flatten(1) + 1e-4
    levels = [_quantile(blocks, share).log() for share in (0.15, 0.5, 0.85)]
    squared = fine.flatten(1).square()
    kurtosis = squared.square().mean(1) / squared.mean(1).square().clamp_min(1e-12)
    return torch.stack([*levels, kurtosis.clamp_min(1e-6).log()], dim=1)


def _blocks(gray: Tensor) -> Tensor:
    """The share of small coefficients in blocks of 8 x 8 pixels, and how far it exceeds that of shifted blocks."""
    aligned, shifted = _small_coefficients(gray), _small_coefficients(gray[:, 4:, 4:])
    return torch.stack([aligned, aligned - shifted], dim=1)


def _small_coefficients(gray: Tensor) -> Tensor:
    steps = torch.arange(8.0)
    cosines = torch.cos(math.pi * (2 * steps + 1) * steps[:, None] / 16) / 2
    cosines[0] /= math.sqrt(2)
    cosines = cosines.to(gray)
    blocks = (255 * gray).unfold(1, 8, 8).unfold(2, 8, 8)
    return ((cosines @ blocks @ cosines.T).abs() < 1.5).float().mean((1, 2, 3, 4))


def _tone(images: Tensor, gray: Tensor) -> Tensor:
    """Corners against the middle, and the distribution of brightness."""
    height, width = (max(2, side // 5) for side in gray.shape[-2:])
    corners = [
        part[:, :, side]
        for part in (gray[:, :height], gray[:, -height:])
        for side in (slice(width), slice(-width, None))
    ]
    means = torch.stack([corner.mean((1, 2)) for corner in corners]) + 0.02
    middle = gray[:, 3 * height // 2 : -(3 * height // 2), 3 * width // 2 : -(3 * width // 2)].mean((1, 2)) + 0.02
    values = _some(gray.flatten(1))
    quantiles = [_quantile(values, share) for share in (0.02, 0.98)]
    ends = [at_end.float().mean((1, 2, 3)) + 0.003 for at_end in (images >= 0.999, images <= 0.001)]
    return torch.stack(
        [
            means.amax(0).log() - middle.log(),
            means.log().mean(0) - (values.mean(1) + 0.02).log(),
            *quantiles,
            values.mean(1),
            values.std(1),
            *(share.log() for share in ends),
        ],
        dim=1,
    )


def _color(images: Tensor, gray: Tensor) -> Tensor:
    """Balance of dark, usual and bright values between the channels, strength of color, and detail in color."""
    values = _some(images.flatten(2))
    levels = [_quantile(values, share) for share in (0.02, 0.9, 0.98)]
    usual = ((levels[1] + 0.02).log() + (values.mean(2) + 0.02).log()) / 2
    ratios = [
        part[:, channel] - part[:, 1]
        for part in ((levels[0] + 0.05).log(), usual, (levels[2] + 0.05).log())
        for channel in (0, 2)
    ]
    strength = (images.amax(1) - images.amin(1)).mean((1, 2))
    fine = [
        functional.conv2d(plane[:, None], _LAPLACE.to(images)).abs().mean((1, 2, 3)) + 1e-4
        for plane in (images[:, 0] - images[:, 1], gray)
    ]
    return torch.stack([*ratios, strength, fine[0].log() - fine[1].log()], dim=1)


def _some(values: Tensor) -> Tensor:
    """About VALUES of the values along the last axis, at equal distances."""
    return values[..., :: max(1, values.shape[-1] // VALUES)]


def _quantile(values: Tensor, share: float) -> Tensor:
    """A quantile of the values along the last axis, without interpolation (a third of the time of sorting)."""
    return values.kthvalue(max(1, round(share * values.shape[-1])), dim=-1).values
