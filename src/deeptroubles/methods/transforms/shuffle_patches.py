"""Patch shuffling: cut images into patches and rearrange them."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Seed, Several


def shuffle_patches(images: Tensor, grid: Several, seed: Seed, boxes: Tensor | None = None) -> Tensor:
    """Cut images into grid x grid patches and rearrange them so that no patch stays in its place.

    All patches of an image have the same size, so pixels are only moved. Rows and columns that do not fit into the grid
    (fewer than `grid`, at the bottom and on the right) stay in place. Every image has its own order.

    Args:
        images: N x C x H x W.
        grid: Number of rows and columns.
        seed: Seed of the orders.
        boxes: N x 4 (top, left, bottom, right, the last two exclusive): shuffle inside these boxes only. A box with
            fewer pixels than `grid` along a side stays unchanged. Default: the whole image.

    Returns:
        A new tensor like `images`.

    Raises:
        UsageError: The grid has fewer than 2 rows, or more rows or columns than the images have pixels.

    References:
        Y. Zhang, T. Zhu: Interpreting adversarially trained convolutional neural networks, ICML 2019, section 3.2.2.
        In the paper patches can stay in place; here orders are uniformly drawn cyclic permutations (S. Sattolo, 1986).
    """
    height, width = images.shape[-2:]
    if not 2 <= grid <= min(height, width):
        raise UsageError(
            f"A grid of {grid} does not fit images of {width} x {height}; choose 2 to {min(height, width)}."
        )
    random = torch.Generator().manual_seed(seed)
    whole = torch.tensor([[0, 0, height, width]]).expand(len(images), -1)
    shuffled = images.clone()
    for image, (top, left, bottom, right) in zip(shuffled, (whole if boxes is None else boxes).tolist(), strict=True):
        order = torch.randperm(grid * grid, generator=random)
        source = torch.empty_like(order)
        source[order] = order.roll(1)
        rows, columns = (bottom - top) // grid, (right - left) // grid
        if rows and columns:
            part = image[:, top : top + grid * rows, left : left + grid * columns]
            patches = part.unflatten(2, (grid, columns)).unflatten(1, (grid, rows)).permute(1, 3, 0, 2, 4).flatten(0, 1)
            rearranged = patches[source.to(images.device)].unflatten(0, (grid, grid)).permute(2, 0, 3, 1, 4)
            part.copy_(rearranged.flatten(3, 4).flatten(1, 2))
    return shuffled
