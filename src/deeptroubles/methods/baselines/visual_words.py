"""Bags of visual words: how often which kind of keypoint occurs (Csurka et al., 2004)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from deeptroubles.methods.parameters import Count, Seed

MOST = 50_000
"""Descriptors that a vocabulary is fitted on, at equal distances."""


def fit_vocabulary(descriptors: NDArray[np.uint8], *, words: Count = 200, seed: Seed = 0) -> NDArray[np.float32]:
    """Cluster the descriptors of all images to visual words (k-means).

    Args:
        descriptors: N x M x D, as `sift` returns them; rows of zeros are none.
        words: How many words; fewer where there are fewer different descriptors.
        seed: Decides where the search starts.

    Returns:
        W x D: the centers of the clusters; 0 x D if there is no descriptor.
    """
    every = descriptors.reshape(-1, descriptors.shape[-1])
    every = every[every.any(1)]
    every = every[np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST)).astype(int))]
    different = np.unique(every, axis=0).astype(np.float32)
    if len(different) <= words:
        return different
    means = MiniBatchKMeans(words, batch_size=2048, n_init=1, random_state=seed).fit(every.astype(np.float32))
    return np.asarray(means.cluster_centers_, dtype=np.float32)


def visual_words(descriptors: NDArray[np.uint8], vocabulary: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of each visual word among an image's keypoints, as its square root.

    A linear classifier of the square roots compares histograms by the Hellinger kernel.

    Args:
        descriptors: N x M x D, as `sift` returns them; rows of zeros are none.
        vocabulary: W x D.

    Returns:
        N x W (at least one column): rows of length 1, and 0 for an image without keypoints.

    References:
        G. Csurka et al.: Visual categorization with bags of keypoints, ECCV workshop 2004; R. Arandjelović,
        A. Zisserman: Three things everyone should know to improve object retrieval, CVPR 2012 (square roots).
    """
    counts = np.zeros((len(descriptors), max(1, len(vocabulary))), dtype=np.float32)
    if len(vocabulary):
        lengths = (vocabulary**2).sum(1)
        for row, each in enumerate(descriptors):
            found = each[each.any(1)].astype(np.float32)
            nearest = (lengths - 2 * found @ vocabulary.T).argmin(1)
            counts[row] = np.bincount(nearest, minlength=len(vocabulary))
    return np.asarray(np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1)))
