"""A quantile of numbers, such as the median, with an interval that holds at every stopping time."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval
from deeptroubles.statistics.robbins_mixture import log_capital
from deeptroubles.statistics.running_intersection import running_intersection


def anytime_quantile(
    values: NDArray[Any], probability: float = 0.5, level: float = 0.95, population: int | None = None
) -> Interval:
    """A quantile of numbers looked at in random order, with an interval that holds however often one looked before.

    The quantile is the smallest number that at least this share of all numbers does not exceed (for 0.5 the median, and
    of an even count the lower of the two in the middle). How many of T values lie below it is known up to chance: as
    many as there are successes in T outcomes with this probability, and Robbins' mixture says which counts are too few
    or too many. The ends are the values with these ranks. Ties do not harm: break them by chance, and the count of
    those below is between the numbers of smaller and of not larger values.

    Args:
        values: T numbers, in the order in which they were looked at.
        probability: In (0, 1).
        level: Level at which the intervals for all T hold together.
        population: Number of images that the values are drawn from without replacement, for the quantile of just these
            images: its interval is narrower, and exact when all were seen. None for the quantile of the distribution
            that the images come from.

    Returns:
        The quantile of the values, with the intersection of the intervals after 1, 2, ..., T values. An end is infinite
        while there are too few values; without values the value is NaN.

    Raises:
        ValueError: The probability is not in (0, 1), a value is NaN, or there are more values than images.

    References:
        S. R. Howard, A. Ramdas: Sequential estimation of quantiles with applications to A/B testing and best-arm
        identification, Bernoulli 2022 (a fixed quantile; beta-binomial mixture).
    """
    if not 0 < probability < 1:
        raise ValueError("The probability of a quantile is between 0 and 1.")
    if np.isnan(values).any():
        raise ValueError("A quantile needs numbers, but a value is NaN.")
    if population is not None and len(values) > population:
        raise ValueError(f"There are {len(values)} values, but only {population} images.")
    few, many = _extreme_counts(len(values), probability, level, population)
    seen: list[float] = []
    value, lows, highs = float("nan"), [], []
    for x, low, high in zip(np.asarray(values, dtype=np.float64).tolist(), few, many, strict=True):
        insort(seen, x)
        value = seen[_rank(probability, len(seen)) - 1]
        lows.append(seen[low] if low >= 0 else -np.inf)
        highs.append(seen[high - 1] if high <= len(seen) else np.inf)
    if len(seen) == population:
        return Interval(value, value, value)
    return running_intersection(value, lows, highs, -np.inf, np.inf)


def _extreme_counts(
    values: int, probability: float, level: float, population: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The highest count below the quantile that is too low, and the lowest that is too high, after each value.

    Where no count is too low or too high, they are -1 and one more than the number of values.
    """
    trials = np.arange(1, values + 1)
    if population is None:
        share, fewest, most = probability, np.zeros_like(trials), trials
    else:
        below = _rank(probability, population)
        share, fewest, most = below / population, np.maximum(0, trials - population + below), np.minimum(trials, below)
    middle = np.clip(np.floor(share * trials).astype(np.int64), fewest, most)

    def excluded(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        capital = log_capital(counts, trials, np.full(values, share), population)
        return np.asarray(capital >= -np.log1p(-level))

    return _last_excluded(excluded, fewest - 1, middle), _last_excluded(excluded, most + 1, middle)


def _last_excluded(
    excluded: Callable[[NDArray[np.int64]], NDArray[np.bool_]], outside: NDArray[np.int64], inside: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The count next to the inside that is excluded, by bisection."""
    while (np.abs(inside - outside) > 1).any():
        middle = (outside + inside) // 2
        out = excluded(middle)
        outside, inside = np.where(out, middle, outside), np.where(out, inside, middle)
    return outside


def _rank(probability: float, count: int) -> int:
    """The rank of the quantile among so many numbers."""
    return min(count, max(1, int(np.ceil(probability * count - 1e-9))))
