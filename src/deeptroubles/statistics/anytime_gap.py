"""The difference between the means of two groups, with an interval that holds at every stopping time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.anytime_mean import ROUNDING, anytime_mean
from deeptroubles.statistics.intervals import Interval


def anytime_gap(
    first: NDArray[Any], second: NDArray[Any], sizes: tuple[int, int] = (1, 1), level: float = 0.95
) -> Interval:
    """The mean of the first group minus that of the second, valid however often one looked before.

    Every value of the smaller group is compared with the mean of its fair number of values of the other one, those that
    come next. The differences are in [-1, 1], do not depend on each other, and each is on average the gap. So
    `anytime_mean` holds for them. The interval is narrower than the difference of two intervals at half of alpha each
    (by a quarter) and than all gaps that the product of both groups' capitals does not exclude (by a sixth); only for
    shares near 0 in groups of different sizes the difference of two intervals is narrower.

    Args:
        first: Values in [0, 1] of the first group, in the order in which they were looked at.
        second: Values of the second group, likewise.
        sizes: How large both groups are, or any two numbers in the ratio in which their images are looked at, chosen
            before any value was seen.
        level: Level at which the intervals at all times hold together.

    Returns:
        The difference between the means of all values, with the interval from the complete comparisons.

    Raises:
        ValueError: A value is not in [0, 1], or a size is not positive.
    """
    if min(sizes) <= 0:
        raise ValueError("Both groups need a size of at least 1.")
    if not all(((x >= -ROUNDING) & (x <= 1 + ROUNDING)).all() for x in map(np.asarray, (first, second))):
        raise ValueError("Values must be numbers in [0, 1].")
    if not (len(first) and len(second)):
        return Interval(float("nan"), -1.0, 1.0)
    one, other = (_block_means(x, size / min(sizes)) for x, size in zip((first, second), sizes, strict=True))
    pairs = min(len(one), len(other))
    _, low, high = anytime_mean(one[:pairs] - other[:pairs], -1.0, 1.0, level)
    value = float(np.mean(first) - np.mean(second))
    return Interval(value, min(value, low), max(value, high))


def _block_means(values: NDArray[Any], each: float) -> NDArray[np.float64]:
    """The means of successive blocks of `each` values on average, complete ones only."""
    ends = np.floor(np.arange(len(values) + 1) * each + 1e-9).astype(np.int64)
    ends = ends[ends <= len(values)]
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(np.diff(sums[ends]) / np.diff(ends))
