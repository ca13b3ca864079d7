"""Histograms of oriented gradients (Dalal and Triggs, CVPR 2005)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage import feature
from torch import Tensor

from deeptroubles.methods.baselines.shared.square import square

SIDE = 64
"""Height and width to which images are scaled, so that the length does not depend on the classifier's input."""
SETTINGS = {"orientations": 9, "pixels_per_cell": (8, 8), "cells_per_block": (2, 2), "block_norm": "L2-Hys"}


def hog(images: Tensor) -> NDArray[np.float32]:
    """Histograms of oriented gradients: how much of which direction there is in each cell of 8 x 8 pixels.

    Images are scaled to 64 x 64. The settings are those of the paper: nine unsigned orientations, blocks of 2 x 2
    cells, each normalized with clipping. In color images the channel with the largest gradient counts, pixel by pixel.

    Args:
        images: N x C x H x W, in [0, 1]; C is 1 or 3.

    Returns:
        N x 1764, in [0, 1]: 7 x 7 blocks of 2 x 2 cells of 9 orientations. 0 for an image of one color.

    References:
        N. Dalal, B. Triggs: Histograms of oriented gradients for human detection, CVPR 2005.
    """
    pixels = square(images.detach().float(), SIDE).cpu().numpy()
    return np.stack([feature.hog(image, channel_axis=0, **SETTINGS) for image in pixels]).astype(np.float32)
