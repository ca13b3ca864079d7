"""Warp images by projective maps."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.errors import UsageError

Border = Literal["black", "mirror"]
_PADDING = {"black": "zeros", "mirror": "reflection"}


def warp(images: Tensor, source: Tensor, border: Border = "mirror") -> Tensor:
    """Warp images by a projective map, with bilinear interpolation.

    Differentiable with respect to the images. Positions that fall on pixels get their values up to the rounding of
    single precision.

    Args:
        images: N x C x H x W, with at least 2 pixels along each side.
        source: 3 x 3 or N x 3 x 3: maps a position (x, y, 1) of the result to one of the image. Positions are pixels
            from the center of the image, x to the right and y down.
        border: What comes in from outside: `black` (0) or `mirror` (the image reflected at its border).

    Returns:
        N x C x H x W.

    Raises:
        UsageError: The border is unknown.
    """
    if border not in get_args(Border):
        raise UsageError(f"There is no border {border!r}; choose one of {', '.join(get_args(Border))}.")
    height, width = images.shape[-2:]
    # In double precision: at 1,000 pixels single precision would be off by a ten-thousandth of a pixel.
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64, device=images.device)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=images.device) - half[1],
        torch.arange(width, device=images.device) - half[0],
        indexing="ij",
    )
    positions = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
    maps = source.to(positions).expand(len(images), 3, 3)
    x, y, z = torch.einsum("nij,hwj->nihw", maps, positions).unbind(1)
    grid = torch.stack([x / z / half[0], y / z / half[1]], dim=-1)
    return functional.grid_sample(
        images, grid.to(images.dtype), mode="bilinear", padding_mode=_PADDING[border], align_corners=True
    )


def rotation(degrees: float) -> Tensor:
    """The map (3 x 3) with which `warp` rotates an image counter-clockwise."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)


def translation(down: float, right: float) -> Tensor:
    """The map (3 x 3) with which `warp` shifts an image."""
    return torch.tensor([[1, 0, -right], [0, 1, -down], [0, 0, 1]], dtype=torch.float64)
