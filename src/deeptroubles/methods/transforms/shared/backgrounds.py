"""Objects with and without backgrounds: the variants of ImageNet-9."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.transforms.shared.masks import bounding_boxes


def only_foreground(images: Tensor, masks: Tensor) -> Tensor:
    """Objects (N x H x W, bool) on black; N x C x H x W (`Only-FG`)."""
    return images * masks[:, None]


def no_foreground(images: Tensor, masks: Tensor) -> Tensor:
    """Images with the object black (`No-FG`)."""
    return images * ~masks[:, None]


def black_box(images: Tensor, masks: Tensor) -> Tensor:
    """Images with the object's bounding box black (`Only-BG-B`)."""
    return images * ~bounding_boxes(masks)[:, None]


def tiled_background(images: Tensor, masks: Tensor) -> Tensor:
    """Images with the object's bounding box tiled with background (`Only-BG-T`).

    The tile is the largest of the four strips above, below, left and right of the box. Where the box leaves no strip,
    the box is black.

    Args:
        images: N x C x H x W.
        masks: N x H x W, bool, none of them empty.

    References:
        K. Xiao et al.: Noise or Signal: The Role of Image Backgrounds in Object Recognition, ICLR 2021, appendix A.
    """
    boxes = bounding_boxes(masks)
    tiled = [_tiled(image, box) for image, box in zip(images, boxes, strict=True)]
    return torch.where(boxes[:, None], torch.stack(tiled), images) if tiled else images


def on_background(images: Tensor, masks: Tensor, backgrounds: Tensor) -> Tensor:
    """Objects on other backgrounds (`Mixed-...`). All N x C x H x W, masks N x H x W, bool."""
    return torch.where(masks[:, None], images, backgrounds)


def _tiled(image: Tensor, box: Tensor) -> Tensor:
    """The largest strip next to a box (H x W, bool), repeated from the box's top left corner; C x H x W."""
    rows, columns = (box.any(dim).nonzero()[:, 0] for dim in (1, 0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    strips = (image[:, :top], image[:, bottom:], image[:, :, :left], image[:, :, right:])
    strip = max(strips, key=lambda s: s.shape[1] * s.shape[2])
    if not strip.numel():
        return torch.zeros_like(image)
    height, width = box.shape
    down = (torch.arange(height, device=image.device) - top) % strip.shape[1]
    across = (torch.arange(width, device=image.device) - left) % strip.shape[2]
    return strip[:, down][:, :, across]
