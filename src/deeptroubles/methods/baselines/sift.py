"""SIFT: descriptions of keypoints that hardly change with scale and rotation (Lowe, IJCV 2004)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import feature
from torch import Tensor

from deeptroubles.methods.baselines.shared.square import gray, square

SIDE = 160
"""Height and width to which images are scaled. SIFT finds next to nothing in images of 32 pixels."""
MOST = 128
"""Keypoints kept of an image, at equal distances in the order of the search: of all scales and places."""
LENGTH = 128


def sift(images: Tensor) -> NDArray[np.uint8]:
    """SIFT descriptors of the keypoints of gray images.

    Images are scaled to 160 x 160, and not doubled again for the finest scale.

    Args:
        images: N x C x H x W, in [0, 1]; C is 1 or 3.

    Returns:
        N x 128 x 128: at most 128 descriptors of 128 numbers; rows of zeros where an image has fewer keypoints. No
        descriptor is zero everywhere.

    References:
        D. Lowe: Distinctive image features from scale-invariant keypoints, IJCV 2004.
    """
    found = np.zeros((len(images), MOST, LENGTH), dtype=np.uint8)
    for row, image in enumerate(gray(square(images.detach().float(), SIDE))):
        descriptors = _descriptors(image)
        kept = np.unique(np.linspace(0, len(descriptors) - 1, min(len(descriptors), MOST)).astype(int))
        found[row, : len(kept)] = descriptors[kept]
    return found


def _descriptors(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """All descriptors of an image (H x W); none where there is no keypoint."""
    detector: Any = feature.SIFT(upsampling=1)  # type: ignore[no-untyped-call]
    try:
        detector.detect_and_extract(image)
    except RuntimeError:  # how scikit-image says that there is no keypoint
        return np.zeros((0, LENGTH), dtype=np.uint8)
    return np.asarray(detector.descriptors, dtype=np.uint8)
