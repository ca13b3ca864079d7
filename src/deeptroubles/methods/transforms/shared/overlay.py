"""Overlays that are laid over images, and controls that resemble them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.display import Brief

BLOCKS = 4
"""Number of shuffled blocks of a control along the shorter side of its box."""

PLACES = {
    "top-left": (0.0, 0.0),
    "top": (0.0, 0.5),
    "top-right": (0.0, 1.0),
    "left": (0.5, 0.0),
    "middle": (0.5, 0.5),
    "right": (0.5, 1.0),
    "bottom-left": (1.0, 0.0),
    "bottom": (1.0, 0.5),
    "bottom-right": (1.0, 1.0),
}
"""Positions of something small: the share of the free space above it, and to its left."""


@dataclass(frozen=True, repr=False)
class Overlay(Brief):
    """Overlays of M images, or one overlay for any number of images (M = 1).

    Attributes:
        color: M x C x H x W, in [0, 1].
        cover: Opacity, M x 1 x H x W, in [0, 1]: 0 shows the image, 1 hides it.
    """

    color: Tensor
    cover: Tensor


def lay(images: Tensor, overlay: Overlay) -> Tensor:
    """Lay an overlay over images (N x C x H x W, in [0, 1]); a new tensor."""
    color, cover = overlay.color.to(images), overlay.cover.to(images)
    return images * (1 - cover) + color * cover


def positioned(piece: Tensor, size: tuple[int, int], place: str) -> Overlay:
    """Put a piece at a place of an otherwise empty overlay.

    Args:
        piece: (C + 1) x h x w, in [0, 1]; the last channel is the opacity. It is cropped to `size`.
        size: Height and width of the images.
        place: A key of PLACES. A margin of 1/40 of the shorter side is kept where there is room.
    """
    height, width = size
    piece = piece[:, :height, :width]
    corner = []
    for share, side, part in zip(PLACES[place], size, piece.shape[1:], strict=True):
        room = side - part
        margin = min(max(1, round(min(size) / 40)), room // 2)
        corner.append(margin + round(share * (room - 2 * margin)))
    top, left = corner
    sides = (left, width - left - piece.shape[2], top, height - top - piece.shape[1])
    whole = functional.pad(piece, sides)[None]
    return Overlay(whole[:, :-1], whole[:, -1:])


def control(overlay: Overlay, number: int, seed: int) -> Overlay:
    """The control of a cue: an overlay of the same size, place, opacity and contrast that shows something else.

    Blocks inside the overlay's box are shuffled. Color channels are rotated, and every other control is inverted, so it
    differs even where all blocks are the same.

    Numbers start from 1; the controls 1 to 6 have different colors.
    """
    random = torch.Generator().manual_seed(seed + number)
    both = torch.cat([overlay.color.expand(len(overlay.cover), -1, -1, -1), overlay.cover], dim=1)
    both = torch.stack([_shuffled(each, random) for each in both])
    color = both[:, :-1].roll(number, dims=1)
    return Overlay(1 - color if number % 2 else color, both[:, -1:])


def _shuffled(both: Tensor, random: torch.Generator) -> Tensor:
    """Color and opacity ((C + 1) x H x W) with the blocks inside the box of the opaque pixels shuffled."""
    there = both[-1] > 0
    if not there.any():
        return both
    rows, columns = (there.any(dim).nonzero()[:, 0] for dim in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    side = max(1, round(min(height, width) / BLOCKS))
    down, right = height // side, width // side
    part = (slice(None), slice(top, top + down * side), slice(left, left + right * side))
    blocks = both[part].reshape(-1, down, side, right, side).permute(1, 3, 0, 2, 4).flatten(0, 1)
    blocks = blocks[torch.randperm(len(blocks), generator=random)]
    shuffled = both.clone()
    shuffled[part] = blocks.view(down, right, -1, side, side).permute(2, 0, 3, 1, 4).reshape(both[part].shape)
    return shuffled
