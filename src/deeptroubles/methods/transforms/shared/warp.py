"""Warping: look at an image through a projective map."""

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
    """Fill every position from where a projective map says that it comes from, with bilinear interpolation.

    Differentiable with respect to the images. Where positions fall on pixels, values are those of the pixels up to the
    rounding of single precision.

    Args:
        images: N x C x H x W, with at least 2 pixels along each side.
        source: 3 x 3 or N x 3 x 3: maps a position (x, y, 1) of the answer to one of the image. Positions are counted
            in pixels from the middle of the image, x to the right and y down.
        border: What lies outside: `black` (0) or `mirror` (the image reflected at its border, as in `shift`).

    Returns:
        N x C x H x W.

    Raises:
        UsageError: The border is unknown.
    """
    if border not in get_args(Border):
        raise UsageError(f"There is no border {border!r} here; choose one of {', '.join(get_args(Border))}.")
    height, width = images.shape[-2:]
    # Computed in double precision: at 1,000 pixels single precision would be a ten-thousandth of a pixel off.
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
    """The map (3 x 3) that turns a picture counter-clockwise when it is given to `warp`."""
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    return torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)


def translation(down: float, right: float) -> Tensor:
    """The map (3 x 3) that moves a picture when it is given to `warp`."""
    return torch.tensor([[1, 0, -right], [0, 1, -down], [0, 0, 1]], dtype=torch.float64)
