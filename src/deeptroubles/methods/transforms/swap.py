"""Swaps: replace one channel of evidence of an image by that of a donor image.

Channels of evidence are the background (whole or by window), the frame, fine detail, color, the object's position, its
inner texture, and the object itself. The donor's object is in-painted first, so only its surroundings are used.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.errors import UsageError, nearest
from deeptroubles.methods.transforms.shared.scenery import (
    WINDOWS,
    Scenery,
    frame,
    resurface,
    scale_color,
    shift_object,
    window,
)


def swap(scenery: Scenery, channel: str, recipients: Tensor, donors: Tensor) -> Tensor:
    """Give each recipient one channel of evidence from its donor.

    Args:
        scenery: The images, divided into channels of evidence.
        channel: A key of CHANNELS or WINDOWS.
        recipients: M indices of images.
        donors: M indices of images, the donor of each recipient.

    Returns:
        M x C x H x W, in [0, 1].

    Raises:
        UsageError: There is no such channel of evidence.

    References:
        This project's. The swap of backgrounds resembles Mixed-Rand of K. Xiao et al.: Noise or Signal: The Role
        of Image Backgrounds in Object Recognition, ICLR 2021.
    """
    if channel in WINDOWS:
        return _region(scenery, recipients, donors, window(scenery.images.shape[-2:], *WINDOWS[channel]))
    if channel not in CHANNELS:
        raise UsageError(
            f"There is no channel of evidence {channel!r}.{nearest(channel, (*CHANNELS, *WINDOWS))} Choose one of "
            f"{', '.join(CHANNELS)}, or a window."
        )
    return CHANNELS[channel](scenery, recipients, donors).clamp(0, 1)


def _region(scenery: Scenery, recipients: Tensor, donors: Tensor, region: Tensor) -> Tensor:
    """Replace a region (H x W) by the donor's background; the recipient's object stays in front."""
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
    """Shift the object to the position of the donor's."""
    return shift_object(scenery, recipients, scenery.box[donors][:, :2] + scenery.box[donors][:, 2:])


def _texture(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    """Replace the inner texture; outline and mean color stay."""
    return resurface(scenery, recipients, scenery.texture[donors])


def _object(scenery: Scenery, recipients: Tensor, donors: Tensor) -> Tensor:
    """Put the donor's object on the recipient's background."""
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
