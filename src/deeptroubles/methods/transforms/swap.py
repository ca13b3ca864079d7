"""Swapping: an image gets one channel of evidence from a donor and keeps all others.

What an image shows is taken apart into channels: its background as a whole or window by window, the frame, fine detail,
color, the object's place and its inner texture, and the object itself. A swap replaces one of them by what is there
in another image, the donor, of which everything but the donor's object is used: that is in-painted first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.methods.transforms.shared.scenery import (
    WINDOWS,
    Scenery,
    frame,
    move_object,
    resurface,
    scale_color,
    window,
)


def swap(scenery: Scenery, channel: str, recipients: Tensor, donors: Tensor) -> Tensor:
    """Give images one channel of evidence from their donors.

    Args:
        scenery: The images that both are taken from.
        channel: A key of CHANNELS or WINDOWS.
        recipients: M indices.
        donors: M indices, the donor of each.

    Returns:
        M x C x H x W, in [0, 1].
    """
    if channel in WINDOWS:
        return _region(scenery, recipients, donors, window(scenery.images.shape[-2:], *WINDOWS[channel]))
    return CHANNELS[channel](scenery, recipients, donors).clamp(0, 1)


def _region(scenery: Scenery, recipients: Tensor, donors: Tensor, region: Tensor) -> Tensor:
    """What the donor has in a region (H x W) without its object; the recipient's object stays in front."""
    part = region.to(scenery.images.device) * (1 - scenery.object[recipients])
    return scenery.images[recipients] * (1 - part) + scenery.background[donors] * part


def _background(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    return _region(scenery, recipients, donors, torch.ones(scenery.images.shape[-2:]))


def _frame(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    return _region(scenery, recipients, donors, frame(scenery.images.shape[-2:]))


def _detail(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    change = scenery.detail[donors] - scenery.detail[recipients]
    return scenery.images[recipients] + change * (1 - scenery.object[recipients])


def _color(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    return scale_color(scenery, recipients, scenery.color[donors])


def _position(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    """The object moves to where the donor's is."""
    return move_object(scenery, recipients, scenery.box[donors][:, :2] + scenery.box[donors][:, 2:])


def _texture(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    """The object keeps its outline and its mean color."""
    return resurface(scenery, recipients, scenery.texture[donors])


def _object(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    """The donor's object on the recipient's background: what the object alone does."""
    part = scenery.object[donors]
    return scenery.background[recipients] * (1 - part) + scenery.images[donors] * part


CHANNELS: dict[str, Callable[[Scenery, Tensor, Tensor], Tensor]] = {
    "background": _background,
    "frame": _frame,
    "high frequencies": _detail,
    "color": _color,
    "position": _position,
    "inner texture": _texture,
    "object": _object,
}
