"""Non-local means: average pixels with similar surroundings, which removes fine texture."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_nl_means
from torch import Tensor

from deeptroubles.methods.parameters import Positive

PATCH, REACH = 5, 6
"""Side of the compared patches, and the largest distance between them, in pixels."""


def non_local_means(images: Tensor, strength: Positive) -> Tensor:
    """Replace every pixel by a mean over nearby pixels, weighted by the similarity of the patches around them.

    Args:
        images: N x C x H x W in [0, 1], C is 1 or 3.
        strength: Scale of the patch differences that are averaged (`h` in the paper), for values in [0, 1].

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
