"""Scale what images show, at the same size in pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Positive
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.shared.warp import Border, warp


def scale(images: Tensor, factor: Positive, border: Border = "mirror") -> Tensor:
    """Enlarge or shrink what images show around their center; the size in pixels stays the same.

    Bilinear interpolation. Before shrinking, images are blurred against aliasing (standard deviation
    (1 / factor - 1) / 2 pixels, as in scikit-image).

    Args:
        images: N x C x H x W.
        factor: Above 1 enlarges (the rim leaves the image), below 1 shrinks (the border comes in), 1 changes nothing.
        border: What comes in from outside: `black` (0) or `mirror` (the image reflected at its border).

    Returns:
        A new tensor like `images`.

    Raises:
        UsageError: The factor is not above 0, or the border is unknown.

    References:
        A. Azulay, Y. Weiss: Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.
    """
    if factor <= 0:
        raise UsageError(f"The factor is {factor:g}; give a number above 0 (1 changes nothing).")
    if factor == 1:
        return images.clone()
    smooth = gaussian_blur(images, (1 / factor - 1) / 2) if factor < 1 else images
    return warp(smooth, torch.diag(torch.tensor([1 / factor, 1 / factor, 1], dtype=torch.float64)), border)
