"""Printability: how far colours are from those that a printer can print."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from deeptroubles.errors import UsageError

LEVELS = (0.1, 0.4, 0.75)
"""Black ink reflects about a tenth of the light, white paper about three quarters."""


def palette(channels: int) -> Tensor:
    """The colours that are taken as printable when none are given, P x C.

    Every combination of three levels: 0.1 (ink), 0.4 (half covered) and 0.75 (paper), which is the range of the
    colours that Sharif et al. photographed from their printer. Whoever means to print should photograph a chart of
    their own printer instead.
    """
    return torch.tensor(list(itertools.product(LEVELS, repeat=channels)))


def non_printability(images: Tensor, mask: Tensor | None = None, colours: Tensor | None = None) -> Tensor:
    """The non-printability score: over pixels, the sum of the product of the distances to all printable colours.

    It is 0 when every pixel has a printable colour. Products of many distances are small numbers, so that a weight of
    thousands is not unusual. Differentiable.

    Args:
        images: N x C x H x W in [0, 1].
        mask: Which pixels count, H x W. Default: all.
        colours: P x C in [0, 1]. Default: `palette`, for up to 3 channels.

    Returns:
        N.

    Raises:
        UsageError: The colours have another number of channels, or there are none for so many channels.

    References:
        M. Sharif et al., Accessorize to a crime, CCS 2016, eq. 6; K. Eykholt et al., Robust physical-world attacks on
        deep learning visual classification, CVPR 2018.
    """
    channels = images.shape[1]
    if colours is None:
        if channels > 3:
            raise UsageError(f"There are no printable colours for {channels} channels; give them as colours (P x C).")
        colours = palette(channels)
    if colours.ndim != 2 or colours.shape[1] != channels:
        raise UsageError(f"Colours must be P x {channels}, as many channels as the images have.")
    apart = images[:, None] - colours.to(images)[None, :, :, None, None]
    # The gradient of a square root is infinite at 0, where the score is best.
    distances = (apart.square().sum(2) + 1e-20).sqrt()
    scores = distances.prod(1) if mask is None else distances.prod(1) * mask.to(images)
    return scores.sum((1, 2))
