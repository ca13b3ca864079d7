"""In-painting: fill holes smoothly from what is around them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def inpaint(images: Tensor, holes: Tensor) -> Tensor:
    """Fill holes with the mean of what is around them, coarser the farther from the rim.

    Nothing is made up: a hole becomes a smooth region that goes over into its surroundings. So what a filled image
    still says does not come from what was in the hole (but the outline of the hole may show: see `remove`).

    Args:
        images: N x C x H x W.
        holes: N x H x W, bool: what to fill.

    Returns:
        A tensor like `images`, equal to them outside of the holes; where an image is all hole, 0.

    References:
        S. J. Gortler et al.: The lumigraph, SIGGRAPH 1996, section 3.4 (pull-push).
    """
    known = (~holes)[:, None].to(images.dtype)
    return _pull_push(images * known, known)


def _pull_push(values: Tensor, known: Tensor) -> Tensor:
    """Values (0 where not known) with the unknown filled in from half the size, and that from half of it, ..."""
    mean = values / known.clamp_min(1e-6)
    if bool((known > 0).all()) or max(values.shape[-2:]) == 1:
        return mean
    half_known = functional.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    half = _pull_push(functional.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False), half_known)
    filled = functional.interpolate(half, size=values.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, mean, filled)
