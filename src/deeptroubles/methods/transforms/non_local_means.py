"""Non-local means: means over places that look alike, which take fine texture away."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_nl_means
from torch import Tensor

PATCH, REACH = 5, 6
"""Height and width of the patches that are compared, and how far away they are looked for, in pixels."""


def non_local_means(images: Tensor, strength: float) -> Tensor:
    """Replace every pixel by a mean over pixels near it, weighted by how alike the patches around them are.

    Args:
        images: N x C x H x W in [0, 1], C is 1 or 3.
        strength: How different patches may be to be alike (`h` of the paper), for values in [0, 1]; above 0.

    Returns:
        A new tensor like `images`.

    References:
        A. Buades, B. Coll, J.-M. Morel: A non-local algorithm for image denoising, CVPR 2005; as in scikit-image.
    """
    arrays = images.detach().cpu().permute(0, 2, 3, 1).numpy()
    smooth = [
        denoise_nl_means(array, PATCH, REACH, h=strength, fast_mode=True, channel_axis=-1).reshape(array.shape)
        for array in arrays
    ]
    result = torch.from_numpy(np.stack(smooth) if smooth else arrays)
    return result.permute(0, 3, 1, 2).to(images).clamp(0, 1)
