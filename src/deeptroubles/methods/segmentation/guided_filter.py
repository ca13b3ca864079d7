"""The guided filter: smooth a map except at the edges of an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def guided_filter(maps: Tensor, images: Tensor, radius: int, epsilon: float = 0.01) -> Tensor:
    """Make each map, in every window, the linear function of the image's colors that is nearest to it.

    Args:
        maps: N x H x W.
        images: The guides, N x C x H x W, in [0, 1].
        radius: Windows have 2 radius + 1 pixels along each side; at the border only those inside the image count.
        epsilon: Colors that vary by less than this variance in a window make no edge. Above 0.

    Returns:
        N x H x W.

    References:
        K. He et al.: Guided image filtering, TPAMI 2013, equations 19 and 20.
    """
    guide, target = images.double(), maps.double()[:, None]
    count, channels, height, width = guide.shape
    mean_guide, mean_target = _mean(guide, radius), _mean(target, radius)
    pairs = (guide[:, :, None] * guide[:, None]).reshape(count, -1, height, width)
    outer = (mean_guide[:, :, None] * mean_guide[:, None]).reshape(count, -1, height, width)
    variance = (_mean(pairs, radius) - outer).permute(0, 2, 3, 1)
    covariance = (_mean(guide * target, radius) - mean_guide * mean_target).permute(0, 2, 3, 1)
    ridge = epsilon * torch.eye(channels, dtype=guide.dtype, device=guide.device)
    variance = variance.reshape(count, height, width, channels, channels)
    slopes = torch.linalg.solve(variance + ridge, covariance).permute(0, 3, 1, 2)
    offsets = mean_target - (slopes * mean_guide).sum(1, keepdim=True)
    smooth = (_mean(slopes, radius) * guide).sum(1) + _mean(offsets, radius)[:, 0]
    return smooth.to(maps.dtype)


def _mean(values: Tensor, radius: int) -> Tensor:
    """The mean over the window around each pixel, N x C x H x W."""
    return functional.avg_pool2d(values, 2 * radius + 1, 1, radius, count_include_pad=False)
