"""How far the best of several groups is ahead of the worst."""

from __future__ import annotations

from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval, share_difference, wilson


class GroupGap(NamedTuple):
    """The largest difference between the shares of two of G groups, and which they are (positions)."""

    size: Interval
    best: int
    worst: int


def largest_gap(successes: NDArray[Any], trials: NDArray[Any], level: float = 0.95) -> GroupGap:
    """The difference between the highest and the lowest share.

    Of several groups the highest share is too high and the lowest too low, by chance alone. So every pair of groups
    gets an interval for its difference (Newcombe's, at a level that all pairs share out), and the largest difference
    is at least as large as the highest lower end, and at most as large as the highest upper end.

    Args:
        successes: G, at least two groups.
        trials: G, all above 0.
        level: At which the interval holds.

    References:
        R. G. Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine
        1998, method 10.
    """
    count = len(trials)
    each = 1 - (1 - level) / (count * (count - 1) / 2)
    shares = [wilson(int(s), int(n), each) for s, n in zip(successes, trials, strict=True)]
    differences = [share_difference(a, b) for a, b in permutations(shares, 2)]
    values = [share.value for share in shares]
    best, worst = int(np.argmax(values)), int(np.argmin(values))
    low, high = max(d.low for d in differences), max(d.high for d in differences)
    return GroupGap(Interval(values[best] - values[worst], max(0.0, low), high), best, worst)
