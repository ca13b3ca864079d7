"""Class distributions: their balance, and whether they differ between splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.statistics.intervals import Interval, wilson


def effective_number(counts: NDArray[np.integer]) -> float:
    """The effective number of classes: e to the entropy of their shares.

    References:
        M. Hill: Diversity and evenness: a unifying notation and its consequences, Ecology 1973 (order 1).
    """
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def largest_to_smallest(counts: NDArray[np.integer], level: float = 0.95) -> Interval:
    """The ratio of the sizes of the largest and the smallest class, with an interval.

    Given the total of the two, the size of the largest one is a share with Wilson's interval, and the ratio is its
    odds. The two are selected from all pairs of classes, so the interval holds for all pairs simultaneously
    (Bonferroni).

    Args:
        counts: K, at least two, none of them 0.
        level: Level of the interval.
    """
    pairs = len(counts) * (len(counts) - 1) / 2
    most, least = int(counts.max()), int(counts.min())
    share = wilson(most, most + least, 1 - (1 - level) / pairs)
    low, high = share.low / (1 - share.low), share.high / max(1 - share.high, 1e-12)
    return Interval(most / least, max(1.0, low), high)


@dataclass(frozen=True)
class Drift:
    """How much splits differ in their class distributions.

    Attributes:
        distance: Total variation between the split that differs most and all other images, minus that of random splits:
            the share of its images that would have to be of another class. With an interval.
        p: How often random splits differ as much.
        split: The index of the split that differs most.
    """

    distance: Interval
    p: float
    split: int


def drift(table: NDArray[np.integer], *, seed: int, times: int = 999, level: float = 0.95) -> Drift:
    """Test whether splits have the same class distribution.

    A permutation test assigns images to splits at random, with fixed sizes of splits and classes. The lower end of the
    interval is the distance minus the level's quantile under permutation, and 0 unless the test is significant; the
    upper end is the distance's quantile when images are resampled.

    Args:
        table: S x K, the number of images of each class in each split; S at least 2, no split empty.
        seed: Seed of the random splits.
        times: Number of random splits.
        level: Level of the test and the interval.

    Returns:
        The distance and its p-value.
    """
    table = np.asarray(table, dtype=np.int64)[:, table.sum(0) > 0]
    random = np.random.default_rng(seed)
    observed = _distances(table)
    split, largest = int(observed.argmax()), float(observed.max())
    by_chance = np.zeros(times)
    if table.shape[1] > 1:
        permuted = stats.random_table(table.sum(1), table.sum(0), seed=random).rvs(times)
        by_chance = _distances(np.asarray(permuted, dtype=np.int64)).max(-1)
    p = float((1 + (by_chance >= largest - 1e-12).sum()) / (1 + times))
    resampled = np.stack([random.multinomial(row.sum(), row / row.sum(), size=times) for row in table], axis=1)
    high = max(largest, float(np.quantile(_distances(resampled).max(-1), (1 + level) / 2)))
    low = max(0.0, largest - float(np.quantile(by_chance, level, method="higher")))
    value = max(low, largest - float(by_chance.mean()))
    return Drift(Interval(value, low if p < 1 - level else 0.0, high), p, split)


def _distances(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Total variation between each split and all others: ... x S x K to ... x S."""
    rest = table.sum(-2, keepdims=True) - table
    shares, others = (part / np.maximum(part.sum(-1, keepdims=True), 1) for part in (table, rest))
    return np.asarray(0.5 * np.abs(shares - others).sum(-1))
