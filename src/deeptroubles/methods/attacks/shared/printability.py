"""Printability: the distance of colors from those that a printer can print."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from deeptroubles.errors import UsageError

LEVELS = (0.1, 0.4, 0.75)
"""Black ink reflects about a tenth of the light, white paper about three quarters."""


def palette(channels: int) -> Tensor:
    """The default printable colors, P x C.

    Every combination of three levels: 0.1 (ink), 0.4 (half covered) and 0.75 (paper), the range of the colors that
    Sharif et al. photographed from their printer. For a real print, photograph a chart of the printer instead.
    """
    return torch.tensor(list(itertools.product(LEVELS, repeat=channels)))


def non_printability(images: Tensor, mask: Tensor | None = None, colors: Tensor | None = None) -> Tensor:
    """The non-printability score: over pixels, the sum of the product of the distances to all printable colors.

    It is 0 when every pixel has a printable color. Products of many distances are small, so weights in the thousands
    are common. Differentiable.

    Args:
        images: N x C x H x W in [0, 1].
        mask: The pixels to count, H x W. Default: all.
        colors: P x C in [0, 1]. Default: `palette`, for up to 3 channels.

    Returns:
        N.

    Raises:
        UsageError: The colors and the images differ in their number of channels, or no colors are given and the images
            have more than 3 channels.

    References:
        M. Sharif et al., Accessorize to a crime, CCS 2016, eq. 6; K. Eykholt et al., Robust physical-world attacks on
        deep learning visual classification, CVPR 2018.
    """
    channels = images.shape[1]
    if colors is None:
        if channels > 3:
            raise UsageError(f"There are no printable colors for {channels} channels; give them as colors (P x C).")
        colors = palette(channels)
    if colors.ndim != 2 or colors.shape[1] != channels:
        raise UsageError(f"Colors must be P x {channels}, as many channels as the images have.")
    apart = images[:, None] - colors.to(images)[None, :, :, None, None]
    # Avoids the infinite gradient of the square root at 0.
    distances = (apart.square().sum(2) + 1e-20).sqrt()
    scores = distances.prod(1) if mask is None else distances.prod(1) * mask.to(images)
    return scores.sum((1, 2))
