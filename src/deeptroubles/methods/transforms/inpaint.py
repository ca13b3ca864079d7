"""In-painting: fill holes smoothly from their surroundings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def inpaint(images: Tensor, holes: Tensor) -> Tensor:
    """Fill holes with averages of their surroundings, coarser with the distance from the rim.

    A hole becomes a smooth region that blends into its surroundings. Nothing that was in the hole remains, but the
    outline of the hole can show (`shared.masks.remove` fills bounding boxes instead).

    Args:
        images: N x C x H x W.
        holes: N x H x W, bool: what to fill.

    Returns:
        A tensor like `images`, unchanged outside the holes; 0 where a whole image is a hole.

    References:
        S. J. Gortler et al.: The lumigraph, SIGGRAPH 1996, section 3.4 (pull-push).
    """
    known = (~holes)[:, None].to(images.dtype)
    return _pull_push(images * known, known)


def _pull_push(values: Tensor, known: Tensor) -> Tensor:
    """Values (0 where unknown) with the unknown ones filled in from the image at half the size, recursively."""
    mean = values / known.clamp_min(1e-6)
    if bool((known > 0).all()) or max(values.shape[-2:]) == 1:
        return mean
    half_known = functional.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    half = _pull_push(functional.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False), half_known)
    filled = functional.interpolate(half, size=values.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, mean, filled)
