"""Gaussian blur."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.parameters import NonNegative

TRUNCATE = 4.0
"""The kernel is truncated at this many standard deviations, as in SciPy and scikit-image."""


def gaussian_blur(images: Tensor, sigma: Tensor | NonNegative) -> Tensor:
    """Blur images with a Gaussian. At the border the outermost pixels are repeated.

    Differentiable with respect to the images.

    Args:
        images: N x C x H x W.
        sigma: Standard deviation in pixels, for all images or one each (N); 0 changes nothing.

    Returns:
        A tensor like `images`.

    References:
        As `scipy.ndimage.gaussian_filter` with mode "nearest".
    """
    sigmas = torch.as_tensor(sigma, dtype=images.dtype, device=images.device).expand(len(images))
    radius = math.floor(TRUNCATE * float(sigmas.max()) + 0.5) if len(images) else 0
    if radius == 0:
        return images
    kernel = _kernels(sigmas, radius).repeat_interleave(images.shape[1], dim=0)
    planes = images.flatten(0, 1)[None]
    planes = functional.pad(planes, (radius, radius, radius, radius), mode="replicate")
    planes = functional.conv2d(planes, kernel[:, None, :, None], groups=len(kernel))
    return functional.conv2d(planes, kernel[:, None, None, :], groups=len(kernel)).view_as(images)


def _kernels(sigmas: Tensor, radius: int) -> Tensor:
    """One kernel per image, N x (2 radius + 1), each truncated at its own radius."""
    offsets = torch.arange(-radius, radius + 1, device=sigmas.device, dtype=sigmas.dtype)
    weights = torch.exp(-offsets.square() / (2 * sigmas[:, None].square().clamp(min=1e-12)))
    inside = offsets.abs() <= (TRUNCATE * sigmas[:, None] + 0.5).floor()
    weights = weights * inside
    return weights / weights.sum(1, keepdim=True)
