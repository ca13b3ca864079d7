"""Co-localization: the object of each photograph, from features of the embedded network that all of them share."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.embedded import embedded_classifier
from deeptroubles.methods.segmentation.guided_filter import guided_filter

LAYER = "_blocks.12"
"""The block of EfficientNet-Lite0 whose features are used: 192 channels at 7 x 7 positions."""
MIDDLE, BORDER = 0.6, 0.8
"""The object is the side of the component that is larger in the middle of the images than at the border."""
AREA = (0.05, 0.7)
"""A region that covers less or more of the image is not taken for the object."""


@cache
def _embedded() -> Classifier:
    return embedded_classifier()


def embedded_features(images: Tensor, batch_size: int = 32) -> Tensor:
    """Feature maps of the embedded network, N x 192 x 7 x 7, of images with 1 or 3 channels in [0, 1]."""
    network = _embedded().to(images.device)
    kept: list[Tensor] = []
    hook = network.module.get_submodule(LAYER).register_forward_hook(lambda *call: kept.append(call[2]))
    try:
        with torch.inference_mode(), evaluating(network):
            for batch in torch.split(images.float(), batch_size):
                colors = batch.expand(-1, 3, -1, -1)
                large = functional.interpolate(colors, network.size, mode="bicubic", antialias=True).clamp(0, 1)
                network(large.to(memory_format=torch.channels_last))
    finally:
        hook.remove()
    return torch.cat(kept).clone()


def object_scores(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """The first principal component of feature maps over all positions of all images.

    Objects differ from what surrounds them more than anything else differs in photographs, so that this component is
    above 0 on objects and below on the background.

    Args:
        features: N x C x h x w.

    Returns:
        N x h x w, in standard deviations.

    References:
        X.-S. Wei et al.: Unsupervised object discovery and co-localization by deep descriptor transforming, Pattern
        Recognition 2019 (over the images of one class; over all images it found objects better, see
        `checks.reliance.shared.objects`).
    """
    count, channels, height, width = features.shape
    flat = np.moveaxis(features.astype(np.float64), 1, -1).reshape(-1, channels)
    flat -= flat.mean(0)
    _, directions = np.linalg.eigh(flat.T @ flat)
    scores = (flat @ directions[:, -1]).reshape(count, height, width)
    y, x = np.abs(np.linspace(-1, 1, height))[:, None], np.abs(np.linspace(-1, 1, width))[None]
    middle, border = np.maximum(y, x) < MIDDLE, np.maximum(y, x) > BORDER
    sign = 1 if scores[:, middle].mean() >= scores[:, border].mean() else -1
    return np.asarray(sign * scores / max(scores.std(), 1e-12), dtype=np.float32)


def object_masks(scores: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Where scores (N x h x w) are above 0, with edges refined to those of the images (N x C x H x W).

    Returns:
        Masks, N x H x W, bool, and for each whether its area is that of an object, N, bool.
    """
    large = functional.interpolate(scores[:, None], images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    masks = guided_filter(large, images, max(1, round(min(images.shape[-2:]) / 18))) > 0
    area = masks.float().mean((1, 2))
    return masks, (area >= AREA[0]) & (area <= AREA[1])
