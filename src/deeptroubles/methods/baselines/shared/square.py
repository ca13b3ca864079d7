"""Images for baselines: scaled to one fixed square size, whatever the input size of the classifier."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.methods.properties.image_properties import LUMA


def square(images: Tensor, side: int) -> Tensor:
    """Images (N x C x H x W) scaled to N x C x side x side: bilinear, averaged where they shrink."""
    if images.shape[2:] == (side, side):
        return images
    return torch.nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)


def gray(images: Tensor) -> NDArray[np.float64]:
    """The luma of images (N x C x H x W, C is 1 or 3) as N x H x W."""
    channels = images.detach().cpu().double().numpy()
    return np.asarray(channels[:, 0] if channels.shape[1] == 1 else np.einsum("nchw,c->nhw", channels, LUMA))
