"""Border contrast: how much a pixel's color differs from those of the border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def border_contrast(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The Mahalanobis distance of each pixel's color from the colors at the border, the smallest over the four sides.

    A pixel that resembles one side resembles the background, because another side can show another part of the scene,
    or touch the object.

    Args:
        images: N x C x H x W.

    Returns:
        N x H x W, at least 0.

    References:
        J. Zhang et al.: Minimum barrier salient object detection at 80 FPS, ICCV 2015, section 4 (the paper sums all
        sides except the largest; here the smallest counts).
    """
    count, channels, height, width = images.shape
    pixels = images.reshape(count, channels, -1)
    thick = max(1, min(height, width) // 10)
    sides = (images[:, :, :thick], images[:, :, -thick:], images[..., :thick], images[..., -thick:])
    nearest = np.full((count, height * width), np.inf, dtype=np.float32)
    for side in sides:
        colors = side.reshape(count, channels, -1)
        mean = colors.mean(2, keepdims=True)
        covariance = np.einsum("ncp,ndp->ncd", colors - mean, colors - mean) / colors.shape[2]
        inverse = np.linalg.inv(covariance + 1e-3 * np.eye(channels, dtype=np.float32))
        squared = np.einsum("ncp,ncd,ndp->np", pixels - mean, inverse, pixels - mean)
        nearest = np.minimum(nearest, np.sqrt(np.maximum(squared, 0)))
    return nearest.reshape(count, height, width).astype(np.float32)
