"""Augmentation: what is shown of an image in training, drawn anew each time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SHARE = 8
"""Images move by at most their side divided by this."""


def random_views(pixels: Tensor, *, mirror: bool) -> Tensor:
    """Images moved by up to an eighth of their sides, their edges mirrored; with `mirror`, every second one flipped.

    Args:
        pixels: N x C x H x W.
        mirror: Whether left and right may be exchanged; not for letters, digits or sides of a body.

    Returns:
        N x C x H x W. Draws come from the global generator.
    """
    count, _, height, width = pixels.shape
    down, right = height // SHARE, width // SHARE
    padded = functional.pad(pixels, (right, right, down, down), mode="reflect")
    tops, lefts = torch.randint(0, 2 * down + 1, (count,)), torch.randint(0, 2 * right + 1, (count,))
    flipped = torch.rand(count) < (0.5 if mirror else 0.0)
    views = [
        padded[i, :, top : top + height, left : left + width]
        for i, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True))
    ]
    return torch.stack([view.flip(-1) if flip else view for view, flip in zip(views, flipped.tolist(), strict=True)])
