"""Find the object of each image: the region on which two unsupervised segmentations agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor
from torch.nn import functional

from deeptroubles.display import Brief
from deeptroubles.methods.segmentation.barrier_distance import barrier_distance
from deeptroubles.methods.segmentation.border_contrast import border_contrast
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur

MAX_SIDE = 64
"""Images are segmented with a longer side of at most this many pixels."""
MIN_OVERLAP = 0.5
"""The smallest overlap of the two segmentations (intersection over union) with which the object counts as found."""
RIM = 0.1
"""The share of the image along each side that is taken as background, so that a frame is not an object."""


@dataclass(frozen=True, repr=False)
class Found(Brief):
    """Objects in N images.

    Attributes:
        masks: N x H x W, bool: the object according to the first segmentation (minimum barrier distance).
        overlap: N, intersection over union with the second segmentation (border contrast).
    """

    masks: Tensor
    overlap: Tensor

    @property
    def found(self) -> Tensor:
        """N, bool: whether the two segmentations agree."""
        return self.overlap >= MIN_OVERLAP


def find_objects(images: Tensor) -> Found:
    """Find the region of each image that stands out most from the border, for use without masks.

    Neither segmentation is trained. They assume that the object lies inside the image and differs from its
    surroundings, and find at most one. Images are N x C x H x W, in [0, 1].
    """
    height, width = images.shape[-2:]
    scale = min(1.0, MAX_SIDE / max(height, width))
    small = functional.interpolate(images, scale_factor=scale, mode="area") if scale < 1 else images
    rim = max(1, round(RIM * min(small.shape[-2:])))
    inner = gaussian_blur(small[:, :, rim:-rim, rim:-rim], 0.7).cpu().numpy().astype(np.float32)
    first, second = (
        np.stack([_standing_out(values) for values in measure(inner)])
        if len(inner)
        else np.zeros(inner[:, 0].shape, bool)
        for measure in (barrier_distance, border_contrast)
    )
    overlap = (first & second).sum((1, 2)) / np.maximum((first | second).sum((1, 2)), 1)
    masks = torch.from_numpy(np.pad(first, ((0, 0), (rim, rim), (rim, rim)))).float()
    large = functional.interpolate(masks[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    return Found((large >= 0.5).to(images.device), torch.from_numpy(overlap).float().to(images.device))


def _standing_out(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The connected region above Otsu's threshold with the largest sum of values, its holes filled; H x W."""
    if values.max() <= values.min():
        return np.zeros(values.shape, dtype=bool)
    regions, count = ndimage.label(values > threshold_otsu(values))  # type: ignore[no-untyped-call]
    weights = ndimage.sum(values, regions, range(1, count + 1))
    return np.asarray(ndimage.binary_fill_holes(regions == 1 + int(np.argmax(weights))), dtype=bool)
