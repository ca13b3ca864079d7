"""The interval of a confidence sequence at its last number: the intersection of all intervals so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from deeptroubles.statistics.intervals import Interval


def running_intersection(
    value: float, lows: ArrayLike, highs: ArrayLike, smallest: float = 0.0, largest: float = 1.0
) -> Interval:
    """Intersect intervals that hold all at once.

    The result is widened to contain the value. An empty intersection (the true value has left the sequence, or the
    order was not random) becomes the gap between the highest lower end and the lowest upper end, hence all that the
    intervals disagree about. Both can only raise the coverage.

    Args:
        value: The estimate from all numbers so far, NaN without any.
        lows: T, the lower ends.
        highs: T, the upper ends.
        smallest: Least possible value.
        largest: Largest possible value.
    """
    low, high = sorted((float(np.max(lows, initial=smallest)), float(np.min(highs, initial=largest))))
    return Interval(value, float(np.fmin(low, value)), float(np.fmax(high, value)))
