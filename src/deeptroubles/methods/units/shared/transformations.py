"""Random views of pictures (shifted, scaled, rotated, cropped), which suppress fragile details."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_SHIFT = 3 / 64  # of the side: lucid shifts pictures of 128 pixels by up to 4 and then by up to 2 pixels
_SCALES = tuple(1 + (i - 5) / 50 for i in range(11))
_ANGLES = (*range(-10, 11), 0, 0, 0, 0, 0)
_MIN_PART, _MAX_PART = 0.5, 1.1


def random_views(size: tuple[int, int], count: int, seed: int, *, crops: bool = True) -> Tensor:
    """Affine maps from positions of a view to positions of the picture.

    As in lucid, views are rotated by up to 10 degrees and shifted by up to 3/64 of a side, about one of 28 pixels.
    Without crops they are scaled by up to 10%, as in lucid. With crops they show between half of the picture's side, at
    any position, and slightly more than the whole. This makes objects larger, since every crop has to show one.

    Args:
        size: Height and width of the pictures in pixels.
        count: Number of maps.
        seed: Decides the maps.
        crops: Whether views can be crops of the picture.

    Returns:
        count x 2 x 3, in the units of `torch.nn.functional.affine_grid`.

    References:
        lucid 0.3.10, `optvis/transform.py`, `standard_transforms`; crops: T. Fel et al.: MACO, NeurIPS 2023.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    maps = np.empty((count, 2, 3))
    for affine in maps:
        angle = np.deg2rad(rng.choice(_ANGLES))
        share = rng.uniform(_MIN_PART, _MAX_PART) if crops else 1 / rng.choice(_SCALES)
        room = 2 * _SHIFT + (max(0, 1 - share) if crops else 0)  # the picture reaches from -1 to 1
        sine = np.sin(angle)
        affine[:, :2] = share * np.array(
            [[np.cos(angle), -sine * height / width], [sine * width / height, np.cos(angle)]]
        )
        affine[:, 2] = rng.uniform(-room, room, 2)
    return torch.from_numpy(maps).float()


def view(images: Tensor, affine: Tensor) -> Tensor:
    """Pictures (N x C x H x W) under one affine map (2 x 3), bilinear; gray (0.5) outside."""
    grid = functional.affine_grid(affine[None].to(images), [1, *images.shape[1:]], align_corners=False)
    grid = grid.expand(len(images), -1, -1, -1)
    return functional.grid_sample(images - 0.5, grid, align_corners=False) + 0.5
