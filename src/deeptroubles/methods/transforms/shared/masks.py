"""Masks of objects: their boxes, their surroundings, and images without what they mark."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.transforms.inpaint import inpaint


def remove(images: Tensor, masks: Tensor) -> Tensor:
    """Take objects out of images: their bounding boxes, a little enlarged, are in-painted.

    The whole box goes, and not only the object, so that the outline of what was filled says nothing of its shape.

    Args:
        images: N x C x H x W.
        masks: N x H x W, bool: where the objects are. An image without an object stays as it is.

    Returns:
        A tensor like `images`.
    """
    margin = max(1, min(images.shape[-2:]) // 24)
    return inpaint(images, dilate(bounding_boxes(masks), margin))


def bounding_boxes(masks: Tensor) -> Tensor:
    """The upright boxes around masks (N x H x W, bool), as masks."""
    return _span(masks.any(2))[:, :, None] & _span(masks.any(1))[:, None, :]


def dilate(masks: Tensor, margin: int) -> Tensor:
    """Enlarge masks (N x H x W, bool) by so many pixels in every direction, diagonals too."""
    return functional.max_pool2d(masks[:, None].float(), 2 * margin + 1, 1, margin)[:, 0] > 0


def elsewhere(holes: Tensor) -> Tensor:
    """Holes (N x H x W, bool) of the same shape at another place: opposite, or half the image away if that overlaps."""
    opposite, away = holes.flip(1, 2), holes.roll((holes.shape[1] // 2, holes.shape[2] // 2), (1, 2))
    overlaps = (opposite & holes).any(2).any(1)
    return torch.where(overlaps[:, None, None], away, opposite)


def _span(lines: Tensor) -> Tensor:
    """From the first to the last that is True, in every row."""
    return (lines.cumsum(1) > 0) & (lines.flip(1).cumsum(1).flip(1) > 0)
