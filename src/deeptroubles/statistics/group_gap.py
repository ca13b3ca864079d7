"""The gap between the best and the worst of several groups."""

from __future__ import annotations

from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval, share_difference, wilson


class ShareGap(NamedTuple):
    """The largest difference between the shares of two of G groups, and the positions of these groups."""

    size: Interval
    best: int
    worst: int


def largest_gap(successes: NDArray[Any], trials: NDArray[Any], level: float = 0.95) -> ShareGap:
    """The difference between the highest and the lowest share.

    The highest of several shares is biased upwards and the lowest downwards. So every pair of groups gets Newcombe's
    interval for its difference, at a level that holds for all pairs (Bonferroni). The interval of the largest
    difference reaches from the highest lower end to the highest upper end.

    Args:
        successes: G, at least two groups.
        trials: G, all above 0.
        level: Level of the interval.

    Returns:
        The gap.

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
    return ShareGap(Interval(values[best] - values[worst], max(0.0, low), high), best, worst)
