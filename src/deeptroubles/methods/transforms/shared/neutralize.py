"""Neutralize one channel of evidence of images, without putting that of another image in its place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.methods.transforms.inpaint import inpaint
from deeptroubles.methods.transforms.shared.scenery import (
    WINDOWS,
    Scenery,
    frame,
    resurface,
    scale_color,
    shift_object,
    window,
)


def neutralize(scenery: Scenery, channel: str, rows: Tensor) -> Tensor:
    """Remove a channel of evidence from images.

    Windows and the frame are in-painted, the background becomes its median color, fine detail is blurred away, the
    color becomes the mean color of all images, the object shifts to the center, and its inner texture becomes its mean
    color. Otherwise the object stays unchanged. `channel` is a key of NEUTRAL or WINDOWS.
    """
    size = scenery.images.shape[-2:]
    if channel in WINDOWS:
        return _filled(scenery, rows, window(size, *WINDOWS[channel]))
    return NEUTRAL[channel](scenery, rows).clamp(0, 1)


def _filled(scenery: Scenery, rows: Tensor, region: Tensor) -> Tensor:
    holes = region.to(scenery.images.device) & ~(scenery.object[rows, 0] > 0)
    return inpaint(scenery.images[rows], holes)


def _frame(scenery: Scenery, rows: Tensor) -> Tensor:
    return _filled(scenery, rows, frame(scenery.images.shape[-2:]))


def _background(scenery: Scenery, rows: Tensor) -> Tensor:
    kept = scenery.object[rows]
    return scenery.images[rows] * kept + scenery.color[rows] * (1 - kept)


def _detail(scenery: Scenery, rows: Tensor) -> Tensor:
    return scenery.images[rows] - scenery.detail[rows] * (1 - scenery.object[rows])


def _color(scenery: Scenery, rows: Tensor) -> Tensor:
    typical = scenery.color.mean(0, keepdim=True)
    return scale_color(scenery, rows, typical.expand(len(rows), -1, -1, -1))


def _position(scenery: Scenery, rows: Tensor) -> Tensor:
    middle = torch.tensor(scenery.images.shape[-2:], device=rows.device)
    return shift_object(scenery, rows, middle.expand(len(rows), 2))


def _texture(scenery: Scenery, rows: Tensor) -> Tensor:
    return resurface(scenery, rows, 0.0)


NEUTRAL: dict[str, Callable[[Scenery, Tensor], Tensor]] = {
    "background": _background,
    "frame": _frame,
    "high frequencies": _detail,
    "color": _color,
    "position": _position,
    "inner texture": _texture,
}
