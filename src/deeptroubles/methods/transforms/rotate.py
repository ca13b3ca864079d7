"""Rotate images around their center."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.transforms.shared.warp import Border, rotation, warp


def rotate(images: Tensor, degrees: float, border: Border = "mirror") -> Tensor:
    """Rotate images counter-clockwise around their center.

    Rotations by 180 degrees, and by 90 degrees for square images, move pixels and are exact. The rest of the angle is
    interpolated (bilinear).

    Args:
        images: N x C x H x W.
        degrees: The angle; negative is clockwise.
        border: What comes in from outside: `black` (0) or `mirror` (the image reflected at its border).

    Returns:
        A new tensor like `images`.

    Raises:
        UsageError: The border is unknown.

    References:
        L. Engstrom et al.: Exploring the landscape of spatial robustness, ICML 2019.
    """
    step = 90 if images.shape[-1] == images.shape[-2] else 180
    steps = round(degrees / step)
    rotated = torch.rot90(images, steps * step // 90, dims=(-2, -1))
    rest = degrees - steps * step
    return warp(rotated, rotation(rest), border) if rest else rotated.clone()
