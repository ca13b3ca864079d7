"""Shift images by whole pixels."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.shared.warp import Border

ShiftBorder = Literal[Border, "circular"]
"""Padding of shifts by whole pixels; `circular`: pixels that leave the image come in on the other side."""


def shift(images: Tensor, down: int, right: int, border: ShiftBorder = "mirror") -> Tensor:
    """Shift images by whole pixels, without interpolation.

    Args:
        images: ... x H x W.
        down: Pixels to shift down (negative: up), less than H.
        right: Pixels to shift right (negative: left), less than W.
        border: What comes in from outside: `black` (0), `mirror` (the image reflected at its border, without repeating
            the border itself) or `circular` (what left on the other side).

    Returns:
        A tensor like `images`.

    Raises:
        UsageError: The shift is as large as the image, or the border is unknown.

    References:
        A. Azulay, Y. Weiss: Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.
    """
    height, width = images.shape[-2:]
    if abs(down) >= height or abs(right) >= width:
        raise UsageError(
            f"A shift of ({down}, {right}) is too large for images of {width} x {height}; give fewer pixels."
        )
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
    """Reflect indices outside 0 ... length - 1 at the first and the last one."""
    return (length - 1) - (index.abs() - (length - 1)).abs()
