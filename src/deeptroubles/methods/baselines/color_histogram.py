"""Color histograms: how much of which color there is, wherever it is (Swain and Ballard, IJCV 1991)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

LEVELS = {1: 64, 3: 4}
"""Levels of each channel, by the number of channels: always 64 colors."""


def color_histogram(images: Tensor) -> NDArray[np.float32]:
    """The share of pixels of each of 64 colors: a joint histogram of 4 x 4 x 4 levels of red, green and blue.

    Images of one channel have 64 levels of gray.

    Args:
        images: N x C x H x W, in [0, 1]; C is 1 or 3.

    Returns:
        N x 64; the sum of each row is 1. Color (r, g, b), counted in levels from 0, is number 16 r + 4 g + b.

    References:
        M. Swain, D. Ballard: Color indexing, IJCV 1991.
    """
    pixels = images.detach().cpu().numpy()
    levels = LEVELS[pixels.shape[1]]
    cells = np.minimum((pixels * levels).astype(np.int64), levels - 1).reshape(*pixels.shape[:2], -1)
    colors = np.zeros_like(cells[:, 0])
    for channel in range(cells.shape[1]):
        colors = colors * levels + cells[:, channel]
    counts = np.stack([np.bincount(each, minlength=64) for each in colors])
    return np.asarray(counts / colors.shape[1], dtype=np.float32)
