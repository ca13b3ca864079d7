"""Shifting: move an image by whole pixels."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.shared.warp import Border

ShiftBorder = Literal[Border, "circular"]
"""What whole pixels allow besides: what leaves an image comes in on the other side."""


def shift(images: Tensor, down: int, right: int, border: ShiftBorder = "mirror") -> Tensor:
    """Move images by whole pixels; no interpolation.

    Args:
        images: ... x H x W.
        down: Pixels to move down (negative: up), less than H in size.
        right: Pixels to move right (negative: left), less than W in size.
        border: What comes in from outside: `black` (0), `mirror` (the image reflected at its border, the border itself
            not repeated) or `circular` (what left on the other side).

    Returns:
        A tensor like `images`.

    Raises:
        UsageError: The shift is as large as the image, or the border is unknown.
    """
    height, width = images.shape[-2:]
    if abs(down) >= height or abs(right) >= width:
        raise UsageError(f"A shift of ({down}, {right}) leaves nothing of an image of {width} x {height} pixels.")
    if border not in get_args(ShiftBorder):
        raise UsageError(f"There is no border {border!r}; choose one of {', '.join(get_args(ShiftBorder))}.")
    if border == "circular":
        return torch.roll(images, (down, right), dims=(-2, -1))
    rows, columns = (torch.arange(n, device=images.device) - by for n, by in ((height, down), (width, right)))
    if border == "black":
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        return torch.roll(images, (down, right), dims=(-2, -1)) * inside
    return images[..., _reflect(rows, height), :][..., _reflect(columns, width)]


def _reflect(index: Tensor, length: int) -> Tensor:
    """Indices outside of 0 ... length - 1, reflected at the first and the last."""
    return (length - 1) - (index.abs() - (length - 1)).abs()
