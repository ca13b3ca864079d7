"""How images spread over classes: how evenly, and whether alike in all splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.statistics.intervals import Interval, wilson


def effective_number(counts: NDArray[np.integer]) -> float:
    """How many classes of the same size would be as varied as these: e to the entropy of their shares.

    References:
        M. Hill: Diversity and evenness: a unifying notation and its consequences, Ecology 1973 (order 1).
    """
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def largest_to_smallest(counts: NDArray[np.integer], level: float = 0.95) -> Interval:
    """The largest class's size over the smallest's, with an interval.

    Given how many images the two have together, the largest one's part is a share with Wilson's interval, and the
    ratio is that share's odds. Both were picked from all pairs of classes, so that the interval holds for all pairs
    together (Bonferroni), and equal classes are found unequal no more often than the level says.

    Args:
        counts: K, at least two of them, and none 0.
        level: Of the interval.
    """
    pairs = len(counts) * (len(counts) - 1) / 2
    most, least = int(counts.max()), int(counts.min())
    share = wilson(most, most + least, 1 - (1 - level) / pairs)
    low, high = share.low / (1 - share.low), share.high / max(1 - share.high, 1e-12)
    return Interval(most / least, max(1.0, low), high)


@dataclass(frozen=True)
class Drift:
    """How far splits differ in their shares of classes.

    Attributes:
        distance: What part of a split's images would have to be of another class for its shares to be those of all
            other images (total variation), of the split that differs most, less what splits drawn at random differ
            by; with an interval.
        p: How often splits drawn at random differ as much.
        split: The index of the split that differs most.
    """

    distance: Interval
    p: float
    split: int


def drift(table: NDArray[np.integer], *, seed: int, times: int = 999, level: float = 0.95) -> Drift:
    """Do splits have the same shares of classes?

    Images are dealt to splits at random again and again, with the sizes of splits and classes as they are (a
    permutation test). The interval's lower end is what is left above the level's quantile of that, so that it is 0
    unless the test finds a difference; its upper end is what the distance reaches when images are drawn anew.

    Args:
        table: S x K, how many images of each class are in each split; S at least 2, none empty.
        seed: Of the random splits.
        times: How many of them.
        level: Of test and interval.
    """
    table = np.asarray(table, dtype=np.int64)[:, table.sum(0) > 0]
    random = np.random.default_rng(seed)
    seen = _distances(table)
    split, most = int(seen.argmax()), float(seen.max())
    by_chance = np.zeros(times)
    if table.shape[1] > 1:
        dealt = stats.random_table(table.sum(1), table.sum(0), seed=random).rvs(times)
        by_chance = _distances(np.asarray(dealt, dtype=np.int64)).max(-1)
    p = float((1 + (by_chance >= most - 1e-12).sum()) / (1 + times))
    again = np.stack([random.multinomial(row.sum(), row / row.sum(), size=times) for row in table], axis=1)
    high = max(most, float(np.quantile(_distances(again).max(-1), (1 + level) / 2)))
    low = max(0.0, most - float(np.quantile(by_chance, level, method="higher")))
    value = max(low, most - float(by_chance.mean()))
    return Drift(Interval(value, low if p < 1 - level else 0.0, high), p, split)


def _distances(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Total variation of each split from all others: ... x S x K to ... x S."""
    rest = table.sum(-2, keepdims=True) - table
    shares, others = (part / np.maximum(part.sum(-1, keepdims=True), 1) for part in (table, rest))
    return np.asarray(0.5 * np.abs(shares - others).sum(-1))
