"""Intervals that hold at every moment, so that one can stop looking when they are narrow enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval

GRID = 1000
"""Means that are tried; the interval is widened to the next of them."""
BLOCK = 1000
"""Values that are processed at once."""
LARGEST_BET = 0.5
"""A bet risks at most this part of what is owned."""


def anytime_mean(values: NDArray[Any], *, level: float = 0.95, low: float = 0.0, high: float = 1.0) -> Interval:
    """The mean of numbers in [low, high], with an interval that holds at every moment.

    With probability `level` the intervals of all prefixes contain the mean, so that it does not matter when one stops.
    This is their intersection. Someone who bets that the mean is above (or below) m, with a stake that depends on
    earlier values only, cannot expect to gain if the mean is m. So m is rejected as soon as one of the bets has
    multiplied the stake by 2 / (1 - level).

    Args:
        values: N numbers, in the order in which they were seen; independent draws. Where classes take turns (see
            `looking_order`), the interval is too wide rather than too narrow.
        level: How often the true mean lies in all intervals, at least.
        low: The smallest possible value.
        high: The largest possible value.

    Returns:
        The mean of the values, within the interval; NaN within [low, high] where there are none.

    References:
        I. Waudby-Smith, A. Ramdas: Estimating means of bounded random variables by betting, JRSS B 2023, theorem 3
        (hedged capital) with the predictable bets of equation 26.
    """
    scaled = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    if not len(scaled):
        return Interval(float("nan"), low, high)
    bets = _bets(scaled, 1 - level)
    means = np.linspace(0, 1, GRID + 1)
    above = _rejected(scaled, bets, means, 2 / (1 - level))
    below = _rejected(1 - scaled, bets, means, 2 / (1 - level))
    value = float(scaled.mean())
    ends = min(above / GRID, value), max(1 - below / GRID, value)
    return Interval(*(low + (high - low) * end for end in (value, *ends)))


def _bets(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """The bet on each value, which grows as the variance of the earlier ones falls; N."""
    counts = np.arange(1, len(values) + 1)
    mean = (0.5 + np.cumsum(values)) / (counts + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (counts + 1)
    earlier = np.concatenate([[0.25], variance[:-1]])
    bets: NDArray[np.float64] = np.sqrt(2 * np.log(2 / alpha) / (earlier * counts * np.log(counts + 1)))
    return bets


def _rejected(values: NDArray[np.float64], bets: NDArray[np.float64], means: NDArray[np.float64], enough: float) -> int:
    """The largest of the means that someone who bets on larger values rejects, as a position; 0 where there is none."""
    with np.errstate(divide="ignore"):
        largest = np.where(means > 0, LARGEST_BET / means, np.inf)
    owned, most = np.zeros(len(means)), np.zeros(len(means))
    for start in range(0, len(values), BLOCK):
        part = slice(start, start + BLOCK)
        staked = np.minimum(bets[part, None], largest)
        grown = owned + np.cumsum(np.log1p(staked * (values[part, None] - means)), axis=0)
        owned, most = grown[-1], np.maximum(most, grown.max(0))
    kept = np.flatnonzero(most < np.log(enough))
    return max(0, int(kept[0]) - 1) if len(kept) else len(means) - 1
