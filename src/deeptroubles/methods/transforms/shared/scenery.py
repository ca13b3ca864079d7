"""Images divided into channels of evidence."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.shared.masks import bounding_boxes, dilate, remove

GRID, WINDOW_WIDTH = 8, 3
"""An image is a grid of GRID x GRID cells; windows are WINDOW_WIDTH cells wide and high."""
FINE = 1.0
"""Fine detail is what a Gaussian of this standard deviation (in pixels) removes."""
WINDOWS = {
    f"window {row} {column}": (row, column)
    for row in range(GRID - WINDOW_WIDTH + 1)
    for column in range(GRID - WINDOW_WIDTH + 1)
}
"""A channel of evidence for every window of the background, with its top left cell."""


class Scenery:
    """Images (N x C x H x W, in [0, 1]), divided by masks (N x H x W, bool) into objects and their surroundings."""

    def __init__(self, images: Tensor, masks: Tensor) -> None:
        self.images = images
        self.masks = masks
        self.object = dilate(masks, 1)[:, None].to(images.dtype)
        """1 on the object and its rim, N x 1 x H x W."""
        self.background = remove(images, masks)
        """The images without their objects, N x C x H x W."""

    @cached_property
    def detail(self) -> Tensor:
        """The fine detail of the background, N x C x H x W."""
        return self.background - gaussian_blur(self.background, FINE)

    @cached_property
    def color(self) -> Tensor:
        """The median color around the object, N x C x 1 x 1; a small patch does not change it."""
        around = ~dilate(bounding_boxes(self.masks), 1)
        around |= ~around.any(2, keepdim=True).any(1, keepdim=True)  # for an object that fills its image
        colors = [image[:, part].median(1).values for image, part in zip(self.images, around, strict=True)]
        return torch.stack(colors)[:, :, None, None] if colors else self.images[:, :, :1, :1]

    @cached_property
    def box(self) -> Tensor:
        """Top, left, bottom and right of each object's bounding box, N x 4, the last two exclusive."""
        spans = []
        for line in (self.masks.any(2), self.masks.any(1)):
            first = line.float().argmax(1)
            spans.append((first, line.shape[1] - line.flip(1).float().argmax(1)))
        return torch.stack([spans[0][0], spans[1][0], spans[0][1], spans[1][1]], dim=1)

    @cached_property
    def inside(self) -> Tensor:
        """The objects without their rim, which includes background; N x H x W, bool."""
        return ~dilate(~self.masks, 1)

    @cached_property
    def texture(self) -> Tensor:
        """The inner texture of each object, minus its mean color, tiled over the whole image; N x C x H x W."""
        tiles = [_tiled(image, mask) for image, mask in zip(self.images, self.inside, strict=True)]
        return torch.stack(tiles) if tiles else self.images


def window(size: tuple[int, int] | torch.Size, row: int, column: int) -> Tensor:
    """One window as a mask, H x W, bool."""
    mask = torch.zeros(tuple(size), dtype=torch.bool)
    (top, bottom), (left, right) = (
        (round(at * side / GRID), round((at + WINDOW_WIDTH) * side / GRID))
        for at, side in zip((row, column), size, strict=True)
    )
    mask[top:bottom, left:right] = True
    return mask


def frame(size: tuple[int, int] | torch.Size) -> Tensor:
    """The outermost tenth of an image along each side as a mask, H x W, bool."""
    mask = torch.ones(tuple(size), dtype=torch.bool)
    thick = max(1, round(min(size) / 10))
    mask[thick:-thick, thick:-thick] = False
    return mask


def scale_color(scenery: Scenery, recipients: Tensor, color: Tensor) -> Tensor:
    """Scale every color channel so that its median around the object becomes `color` (M x C x 1 x 1)."""
    gain = color.clamp_min(0.02) / scenery.color[recipients].clamp_min(0.02)
    return scenery.images[recipients] * gain.clamp(0.25, 4)


def shift_object(scenery: Scenery, recipients: Tensor, twice_center: Tensor) -> Tensor:
    """Shift objects as far as they stay inside the image; what they leave is in-painted.

    `twice_center` is twice the row and column of the new center of each object's box, M x 2.
    """
    own = scenery.box[recipients]
    by = (twice_center - own[:, :2] - own[:, 2:]) // 2
    room = torch.tensor(scenery.images.shape[-2:], device=by.device) - own[:, 2:]
    by = torch.minimum(torch.maximum(by, -own[:, :2]), room)
    kept = _shifted(scenery.object[recipients], by)
    return scenery.background[recipients] * (1 - kept) + _shifted(scenery.images[recipients], by) * kept


def resurface(scenery: Scenery, recipients: Tensor, texture: Tensor | float) -> Tensor:
    """Give objects, inside their rim, their mean color plus a texture (M x C x H x W, or 0 for none)."""
    inside = scenery.inside[recipients][:, None].to(scenery.images.dtype)
    images = scenery.images[recipients]
    color = (images * inside).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp_min(1)
    return images * (1 - inside) + (color + texture).clamp(0, 1) * inside


def _shifted(images: Tensor, by: Tensor) -> Tensor:
    """Shift each image (M x C x H x W) down and right by its own number of pixels (M x 2), with 0 from outside."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - by[:, :1]
    columns = torch.arange(width, device=images.device) - by[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    count, channels = images.shape[:2]
    taken = images[
        torch.arange(count, device=images.device)[:, None, None, None],
        torch.arange(channels, device=images.device)[None, :, None, None],
        rows.clamp(0, height - 1)[:, None, :, None],
        columns.clamp(0, width - 1)[:, None, None, :],
    ]
    return taken * inside


def _tiled(image: Tensor, mask: Tensor) -> Tensor:
    """The largest square inside the mask, minus the object's mean color, mirrored and repeated; C x H x W."""
    if not mask.any():
        return torch.zeros_like(image)
    side, corner = _largest_square(mask)
    top, left = corner
    tile = image[:, top : top + side, left : left + side] - image[:, mask].mean(1)[:, None, None]
    tile = torch.cat([tile, tile.flip(1)], dim=1)
    tile = torch.cat([tile, tile.flip(2)], dim=2)
    height, width = mask.shape
    return tile.repeat(1, -(-height // tile.shape[1]), -(-width // tile.shape[2]))[:, :height, :width]


def _largest_square(mask: Tensor) -> tuple[int, tuple[int, int]]:
    """Side and top left corner of the largest square inside a mask that is not empty."""
    sums = functional.pad(mask.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
    low, high = 1, min(mask.shape)
    while low < high:  # if a square fits, so does every smaller one
        side = (low + high + 1) // 2
        low, high = (side, high) if _full(sums, side).any() else (low, side - 1)
    top, left = _full(sums, low).nonzero()[0].tolist()
    return low, (top, left)


def _full(sums: Tensor, side: int) -> Tensor:
    """Whether the square of this side with top left corner (y, x) is inside the mask, from its integral image."""
    area = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return area == side * side
