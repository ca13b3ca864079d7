"""Patch rotation: cut images into patches and rotate each of them in place."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Count, Seed


def rotate_patches(images: Tensor, grid: Count, seed: Seed) -> Tensor:
    """Cut images into grid x grid patches and rotate each by 90, 180 or 270 degrees, which only moves pixels.

    Patches that are not square are rotated by 180 degrees. Rows and columns that do not fit into the grid (fewer than
    `grid`, at the bottom and on the right) stay unchanged.

    Args:
        images: N x C x H x W.
        grid: Number of rows and columns.
        seed: Seed of the angles; every patch has its own.

    Returns:
        A new tensor like `images`.

    Raises:
        UsageError: The grid has no rows, or more rows or columns than the images have pixels.

    References:
        T. Burgert et al.: ImageNet-trained CNNs are not biased towards texture: revisiting feature reliance through
        controlled suppression, NeurIPS 2025.
    """
    height, width = images.shape[-2:]
    if not 1 <= grid <= min(height, width):
        raise UsageError(
            f"A grid of {grid} does not fit images of {width} x {height}; choose 1 to {min(height, width)}."
        )
    rows, columns = height // grid, width // grid
    random = torch.Generator().manual_seed(seed)
    quarters = torch.randint(1, 4, (len(images), grid, grid), generator=random) if rows == columns else 2
    quarters = torch.as_tensor(quarters).expand(len(images), grid, grid).to(images.device)
    rotated = images.clone()
    part = rotated[:, :, : grid * rows, : grid * columns]
    shape = (len(images), images.shape[1], grid, rows, grid, columns)
    patches = part.reshape(shape).permute(0, 2, 4, 1, 3, 5).clone()
    for quarter in (1, 2, 3):
        chosen = quarters == quarter
        if chosen.any():
            patches[chosen] = torch.rot90(patches[chosen], quarter, (-2, -1))
    part.copy_(patches.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3))
    return rotated
