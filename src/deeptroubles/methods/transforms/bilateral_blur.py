"""Bilateral blur: average neighbors of a similar color, which removes texture and keeps edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.parameters import Count

SIMILAR = 0.3
"""Standard deviation of the Gaussian weight of color differences, for values in [0, 1]."""


def bilateral_blur(images: Tensor, radius: Count) -> Tensor:
    """Replace every pixel by a mean over its neighbors, weighted by how close they are in position and color.

    scikit-image 0.26 is not used, because its table of spatial weights has a row and a column too many, so pixels get
    each other's weights.

    Args:
        images: N x C x H x W in [0, 1].
        radius: Half the width of the window in pixels. The spatial weight is a Gaussian with a standard deviation of
            half the radius. At the border the outermost pixels are repeated.

    Returns:
        A new tensor like `images`.

    References:
        C. Tomasi, R. Manduchi: Bilateral filtering for gray and color images, ICCV 1998.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (radius, radius, radius, radius), mode="replicate")
    total, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
    for down in range(2 * radius + 1):
        for across in range(2 * radius + 1):
            other = padded[:, :, down : down + height, across : across + width]
            place = ((down - radius) ** 2 + (across - radius) ** 2) / (radius / 2) ** 2
            color = (other - images).square().sum(1, keepdim=True) / SIMILAR**2
            weight = torch.exp(-(color + place) / 2)
            total += weight * other
            weights += weight
    return total / weights
