"""Silhouettes of objects, filled with a texture."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.transforms.shared.backgrounds import on_background


def silhouette(masks: Tensor, style: Tensor, background: Tensor | None = None) -> Tensor:
    """Fill the silhouette of an object with a texture.

    Args:
        masks: N x H x W, bool: where the objects are.
        style: N x C x H x W in [0, 1]: the textures.
        background: N x C x H x W in [0, 1]: what surrounds the objects. Default: white, as in the paper.

    Returns:
        A new tensor like `style`.

    References:
        N. Baker et al.: Deep convolutional networks do not classify based on global object shape, PLOS Computational
        Biology 2018, experiment 1.
    """
    return on_background(style, masks, torch.ones_like(style) if background is None else background)
