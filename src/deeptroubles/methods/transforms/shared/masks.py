"""Masks of objects: bounding boxes, dilation, and removal of the objects."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.transforms.inpaint import inpaint


def remove(images: Tensor, masks: Tensor) -> Tensor:
    """Remove objects (N x H x W, bool) from images (N x C x H x W) by in-painting their bounding boxes with a margin.

    The whole box is filled, so the outline of the filled region does not reveal the shape of the object.
    """
    margin = max(1, min(images.shape[-2:]) // 24)
    return inpaint(images, dilate(bounding_boxes(masks), margin))


def bounding_boxes(masks: Tensor) -> Tensor:
    """The bounding boxes of masks (N x H x W, bool), as masks."""
    return _span(masks.any(2))[:, :, None] & _span(masks.any(1))[:, None, :]


def dilate(masks: Tensor, margin: int) -> Tensor:
    """Enlarge masks (N x H x W, bool) by `margin` pixels in every direction, including diagonals."""
    return functional.max_pool2d(masks[:, None].float(), 2 * margin + 1, 1, margin)[:, 0] > 0


def elsewhere(holes: Tensor) -> Tensor:
    """Move holes (N x H x W, bool) to the opposite side, or half the image away where that overlaps."""
    opposite, away = holes.flip(1, 2), holes.roll((holes.shape[1] // 2, holes.shape[2] // 2), (1, 2))
    overlaps = (opposite & holes).any(2).any(1)
    return torch.where(overlaps[:, None, None], away, opposite)


def _span(lines: Tensor) -> Tensor:
    """True from the first to the last True of every row."""
    return (lines.cumsum(1) > 0) & (lines.flip(1).cumsum(1).flip(1) > 0)
