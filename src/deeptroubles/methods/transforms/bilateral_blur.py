"""Bilateral blur: means over neighbours of a similar colour, which take texture away and leave edges."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_bilateral
from torch import Tensor

SIMILAR = 0.3
"""Standard deviation of the difference of two colours that count as similar, for values in [0, 1]."""


def bilateral_blur(images: Tensor, radius: int) -> Tensor:
    """Replace every pixel by a mean over its neighbours, weighted by how near they are in place and in colour.

    Args:
        images: N x C x H x W in [0, 1], C is 1 or 3.
        radius: Half the width of the window in pixels, at least 1; places weigh as a Gaussian of half of it.

    Returns:
        A new tensor like `images`.

    Source:
        C. Tomasi, R. Manduchi: Bilateral filtering for gray and color images, ICCV 1998; as in scikit-image.
    """
    colours = images.shape[1] > 1
    arrays = images.detach().cpu().permute(0, 2, 3, 1).numpy().astype(np.float64)
    blurred = [
        denoise_bilateral(
            array if colours else array[..., 0], win_size=2 * radius + 1, sigma_color=SIMILAR, sigma_spatial=radius / 2,
            mode="edge", channel_axis=-1 if colours else None,
        ).reshape(array.shape)
        for array in arrays
    ]  # fmt: skip
    result = torch.from_numpy(np.stack(blurred)) if blurred else torch.from_numpy(arrays)
    return result.permute(0, 3, 1, 2).to(images).clamp(0, 1)
