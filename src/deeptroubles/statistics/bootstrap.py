"""Sums over many resamples at once: images resampled within their stratum, or strata shuffled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_AT_ONCE = 1 << 22
"""Largest number of weights in memory at a time."""


def resampled_sums(values: Floats, strata: NDArray[np.integer], *, resamples: int = 1000, seed: int = 0) -> Floats:
    """Sums of values by stratum when the images of each stratum are resampled with replacement.

    The number of times that each image is drawn is multinomial, so all resamples are one matrix product.

    Args:
        values: N x M, the summed values.
        strata: N, from 0 to G - 1; every stratum has an image.
        resamples: R.
        seed: Seed of the resampling.

    Returns:
        R x G x M.

    References:
        B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993, sections 6.2 and 8.3.
    """
    random = np.random.default_rng(seed)
    count = int(strata.max()) + 1
    sums = np.empty((resamples, count, values.shape[1]))
    for stratum in range(count):
        inside = values[strata == stratum]
        share = np.full(len(inside), 1 / len(inside))
        step = max(1, _AT_ONCE // len(inside))
        for start in range(0, resamples, step):
            part = slice(start, min(start + step, resamples))
            sums[part, stratum] = random.multinomial(len(inside), share, size=part.stop - part.start) @ inside
    return sums


def shuffled_sums(values: Floats, strata: NDArray[np.integer], *, shuffles: int = 1000, seed: int = 0) -> Floats:
    """As `resampled_sums` when the strata of the images are shuffled instead: the distribution under chance."""
    random = np.random.default_rng(seed)
    count = int(strata.max()) + 1
    sums = np.empty((shuffles, count, values.shape[1]))
    step = max(1, _AT_ONCE // len(strata))
    for start in range(0, shuffles, step):
        part = slice(start, min(start + step, shuffles))
        shuffled = random.permuted(np.broadcast_to(strata, (part.stop - part.start, len(strata))), axis=1)
        for stratum in range(count):
            sums[part, stratum] = (shuffled == stratum).astype(np.float64) @ values
    return sums
