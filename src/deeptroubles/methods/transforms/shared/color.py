"""Remove or permute the colors of images; shapes and textures stay."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the conversion to grayscale (ITU-R BT.601)."""


def grayscale(images: Tensor, strength: float = 1.0) -> Tensor:
    """Mix images (N x 3 x H x W in [0, 1]) with a share of their grayscale versions."""
    luma = torch.tensor(LUMA, device=images.device, dtype=images.dtype)[:, None, None]
    return torch.lerp(images, (images * luma).sum(1, keepdim=True).expand_as(images), strength)


def shuffle_channels(images: Tensor, seed: int, strength: float = 1.0) -> Tensor:
    """Mix images (N x 3 x H x W in [0, 1]) with a share of versions with cyclically permuted color channels."""
    shifts = torch.randint(1, 3, (len(images),), generator=torch.Generator().manual_seed(seed)).tolist()
    permuted = torch.stack([image.roll(shift, 0) for image, shift in zip(images, shifts, strict=True)])
    return torch.lerp(images, permuted, strength)


def turn_hue(images: Tensor, degrees: float) -> Tensor:
    """Turn the hue (HSV) of images (N x 3 x H x W in [0, 1]) by an angle; value and saturation stay."""
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(1), images.amin(1)
    spread = value - lowest
    divisor = torch.where(spread > 0, spread, torch.ones_like(spread))
    sixth = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    turned = sixth + degrees / 60
    distance = [(turned + offset).remainder(6) for offset in (5, 3, 1)]  # of each channel, in sixths of the circle
    return torch.stack([value - spread * torch.minimum(d, 4 - d).clamp(0, 1) for d in distance], dim=1)
