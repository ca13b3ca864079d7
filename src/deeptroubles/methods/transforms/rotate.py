"""Rotation: turn an image around its middle."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.transforms.shared.warp import Border, rotation, warp


def rotate(images: Tensor, degrees: float, border: Border = "mirror") -> Tensor:
    """Turn images counter-clockwise around their middle, with bilinear interpolation.

    Whole quarter turns move pixels and interpolate nothing, so that they are exact: half turns for every image,
    quarter turns for square ones. What remains, 45 degrees at most, is interpolated.

    Args:
        images: N x C x H x W.
        degrees: The angle; negative is clockwise.
        border: What comes in from outside: `black` (0) or `mirror` (the image reflected at its border).

    Returns:
        A new tensor like `images`.

    Raises:
        UsageError: The border is unknown.
    """
    step = 90 if images.shape[-1] == images.shape[-2] else 180
    turns = round(degrees / step)
    turned = torch.rot90(images, turns * step // 90, dims=(-2, -1))
    rest = degrees - turns * step
    return warp(turned, rotation(rest), border) if rest else turned.clone()
