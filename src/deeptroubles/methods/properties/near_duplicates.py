"""Near-duplicates among thumbnails, and the groups that they form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deeptroubles.methods.properties.perceptual_hash import near_pairs, perceptual_hash
from deeptroubles.methods.properties.similarity import similarity

HASH_BITS = 16
"""Pairs are compared closely when no more than this many of the 64 bits of their hashes differ."""
NEAR, ALMOST = 0.97, 0.94
"""Similarity of a near-duplicate; the pairs that reach only the second show how similar different images are."""
FALSE_PAIRS = 1e-6
"""The share of pairs of different images taken for near-duplicates; see tests/methods/test_near_duplicates.py."""
ALPHA = 0.05
FLAT = 0.02
"""An image whose thumbnail varies less than this (standard deviation) has nothing to compare."""
MAX_PAIRS = 200_000


def is_flat(thumbnails: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether thumbnails (N x 32 x 32 x 3) are of nearly one color. N."""
    return np.asarray(thumbnails.std((1, 2)).max(1) < FLAT)


def similar_pairs(
    thumbnails: NDArray[np.floating], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int]:
    """Pairs of different images with similar hashes, their similarity, and within how many bits they were searched."""
    if len(chosen) < 2:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, np.zeros(0), HASH_BITS
    (first, second), used = near_pairs(perceptual_hash(thumbnails[chosen]), HASH_BITS, MAX_PAIRS)
    first, second = chosen[first], chosen[second]
    return first, second, similarity(thumbnails, first, second), used


def usual_false_pairs(count: int) -> float:
    """The expected number of false pairs among different images at the rate FALSE_PAIRS."""
    return FALSE_PAIRS * count * (count - 1) / 2


def almost_pairs(similarities: NDArray[np.float64]) -> int:
    """How many pairs are almost similar enough: of different images, at most as many are similar enough."""
    return int(((similarities >= ALMOST) & (similarities < NEAR)).sum())


def more_than_expected(pairs: int, expected: float) -> bool:
    """Whether there are significantly more near-duplicates than expected false positives."""
    return bool(stats.poisson.sf(pairs - 1, expected) < ALPHA)


def joined_groups(first: NDArray[np.integer], second: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """The number of the group of each of `count` rows, where pairs are in the same group."""
    joined = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    return np.asarray(connected_components(joined, directed=False)[1], dtype=np.int64)


def duplicate_groups(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Which images are duplicates of each other, or duplicates of duplicates.

    Near-duplicates count only if there are significantly more of them than false positives: among digits or aligned
    faces, different images are as similar as duplicates.

    Args:
        thumbnails: N x 32 x 32 x 3, as `thumbnail` gives them.

    Returns:
        N numbers of groups; an image without a duplicate is a group of its own.
    """
    count = len(thumbnails)
    if not count:
        return np.zeros(0, dtype=np.int64)
    leader, same = np.unique(thumbnails.reshape(count, -1), axis=0, return_index=True, return_inverse=True)[1:]
    small = thumbnails.astype(np.float32) / 255
    different = np.sort(leader[~is_flat(small[leader])])
    first, second, similarities, _ = similar_pairs(small, different)
    near = similarities >= NEAR
    expected = max(usual_false_pairs(len(different)), almost_pairs(similarities))
    if not more_than_expected(int(near.sum()), expected):
        near[:] = False
    everyone = np.arange(count)
    return joined_groups(
        np.concatenate([first[near], everyone]), np.concatenate([second[near], leader[same.reshape(-1)]]), count
    )
