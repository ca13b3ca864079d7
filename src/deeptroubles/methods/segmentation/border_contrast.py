"""Border contrast: how unlike the colors of the border a pixel is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def border_contrast(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each pixel's color is from the colors at the border: the smallest over the four sides.

    A side's colors are a normal distribution, and the distance is Mahalanobis's. A pixel is like the background when
    it is like any one side, because a side may show another part of the scene, or be touched by the object.

    Args:
        images: N x C x H x W.

    Returns:
        N x H x W, at least 0.

    References:
        J. Zhang et al.: Minimum barrier salient object detection at 80 FPS, ICCV 2015, section 4 (there the largest
        side is left out of a sum; here the smallest counts).
    """
    count, channels, height, width = images.shape
    pixels = images.reshape(count, channels, -1)
    thick = max(1, min(height, width) // 10)
    sides = (images[:, :, :thick], images[:, :, -thick:], images[..., :thick], images[..., -thick:])
    nearest = np.full((count, height * width), np.inf, dtype=np.float32)
    for side in sides:
        colors = side.reshape(count, channels, -1)
        mean = colors.mean(2, keepdims=True)
        spread = np.einsum("ncp,ndp->ncd", colors - mean, colors - mean) / colors.shape[2]
        inverse = np.linalg.inv(spread + 1e-3 * np.eye(channels, dtype=np.float32))
        squared = np.einsum("ncp,ncd,ndp->np", pixels - mean, inverse, pixels - mean)
        nearest = np.minimum(nearest, np.sqrt(np.maximum(squared, 0)))
    return nearest.reshape(count, height, width).astype(np.float32)
