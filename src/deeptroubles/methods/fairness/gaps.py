"""The gap between the best- and the worst-performing group, compared with the gap expected by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.statistics.bootstrap import resampled_sums, shuffled_sums
from deeptroubles.statistics.calibration import BINS
from deeptroubles.statistics.intervals import Interval, share_difference, wilson

Floats = NDArray[np.float64]

SHUFFLES = 9_999
RESAMPLES = 1000


@dataclass(frozen=True)
class Gap:
    """The gap between the best- and the worst-performing group in one measure.

    Attributes:
        measure: What was measured: `accuracy`, `true positives of CLASS`, `false positives of CLASS`, `calibration`.
        values: The measure by group, as index of the group: (value, images).
        worst: The worst-performing group.
        best: The best-performing group.
        gap: Highest minus lowest, at least 0. Its lower end is at most the gap minus the one expected by chance.
        ratio: Lowest over highest; 1 where both are 0.
        p: How often shuffled groups have at least this gap.
    """

    measure: str
    values: dict[int, tuple[float, int]]
    worst: int
    best: int
    gap: Interval
    ratio: float
    p: float


def rate_gap(
    measure: str,
    happened: NDArray[np.bool_],
    groups: NDArray[np.integer],
    *,
    seed: int = 0,
    high_is_good: bool = True,
    shuffles: int = SHUFFLES,
) -> Gap | None:
    """The gap in how often something happens. Groups with fewer than MIN_GROUP images are left out.

    The highest minus the lowest of several shares is above 0 even if all groups are equal. The gaps of shuffled groups
    are drawn from their exact distribution, the multivariate hypergeometric one. The interval is a reflected stratified
    bootstrap interval (which removes the bias of a maximum), but at least as wide as Newcombe's for the difference of
    the two groups, which has a width even where shares are 0 or 1.

    Args:
        measure: Its name.
        happened: N.
        groups: N, the group of each image; -1 where it is unknown.
        seed: Seed of resamples and shuffles.
        high_is_good: Whether the group with the lowest share is the worst.
        shuffles: How often groups are shuffled.

    Returns:
        None if fewer than two groups are large enough.

    References:
        R. G. Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine
        1998, method 10.
    """
    kept, codes, rows = _large(groups)
    if len(kept) < 2:
        return None
    yes = happened[rows]
    total, times = np.bincount(codes), np.bincount(codes, weights=yes).astype(np.int64)
    shares = times / total
    gap = float(np.ptp(shares))
    random = np.random.default_rng(seed)
    by_chance = np.ptp(random.multivariate_hypergeometric(total, int(times.sum()), size=shuffles) / total, axis=1)
    # Resampled counts are binomial, the same as weights on every image.
    again = np.ptp(random.binomial(total, shares, size=(RESAMPLES, len(total))) / total, axis=1)
    low, high = int(shares.argmin()), int(shares.argmax())
    pair = share_difference(wilson(int(times[high]), int(total[high])), wilson(int(times[low]), int(total[low])))
    return Gap(
        measure=measure,
        values={int(k): (float(s), int(n)) for k, s, n in zip(kept, shares, total, strict=True)},
        worst=int(kept[low if high_is_good else high]),
        best=int(kept[high if high_is_good else low]),
        gap=_interval(gap, again, by_chance, pair),
        ratio=float(shares.min() / shares.max()) if shares.max() > 0 else 1.0,
        p=_p_value(gap, by_chance),
    )


def calibration_gap(
    confidence: Floats, correct: NDArray[np.bool_], groups: NDArray[np.integer], *, seed: int = 0
) -> Gap | None:
    """The gap in expected calibration error, with intervals and chance from weights on images.

    A small group's error is larger by chance; shuffled groups keep their sizes and have the same bias.

    Args:
        confidence: N, in [0, 1].
        correct: N.
        groups: N, -1 where it is unknown. Groups with fewer than MIN_GROUP images are left out.
        seed: Seed of resamples and shuffles.
    """
    kept, codes, rows = _large(groups)
    if len(kept) < 2:
        return None
    bins = np.minimum((confidence[rows] * BINS).astype(int), BINS - 1)
    off = np.zeros((len(codes), BINS))
    off[np.arange(len(codes)), bins] = confidence[rows] - correct[rows]
    total = np.bincount(codes)
    plain = np.abs(np.stack([off[codes == k].sum(0) for k in range(len(kept))])).sum(1) / total
    gap = float(np.ptp(plain))
    again, by_chance = (
        np.ptp(np.abs(sums).sum(2) / total, axis=1)
        for sums in (
            resampled_sums(off, codes, resamples=RESAMPLES, seed=seed),
            shuffled_sums(off, codes, shuffles=RESAMPLES - 1, seed=seed + 1),
        )
    )
    return Gap(
        measure="calibration",
        values={int(k): (float(s), int(n)) for k, s, n in zip(kept, plain, total, strict=True)},
        worst=int(kept[plain.argmax()]),
        best=int(kept[plain.argmin()]),
        gap=_interval(gap, again, by_chance),
        ratio=float(plain.min() / plain.max()) if plain.max() > 0 else 1.0,
        p=_p_value(gap, by_chance),
    )


def class_gaps(
    targets: NDArray[np.integer],
    predicted: NDArray[np.integer],
    groups: NDArray[np.integer],
    classes: dict[int, str],
    *,
    seed: int = 0,
    shuffles: int = SHUFFLES,
) -> Iterator[Gap]:
    """The gaps in true- and false-positive rates of each class against the rest.

    Args:
        targets: N, the true classes.
        predicted: N, the predictions.
        groups: N, -1 where it is unknown.
        classes: Names of the classes, by index.
        seed: Seed of resamples and shuffles.
        shuffles: How often groups are shuffled.
    """
    for index, name in classes.items():
        for of, rows, good in (("true", targets == index, True), ("false", targets != index, False)):
            measure, hits = f"{of} positives of {name}", predicted[rows] == index
            found = rate_gap(measure, hits, groups[rows], seed=seed, high_is_good=good, shuffles=shuffles)
            if found:
                yield found


def corrected(gaps: list[Gap], p_values: NDArray[np.float64], alpha: float = 0.05) -> list[Gap]:
    """The same gaps with other p-values; the interval of a gap that is not significant begins at 0."""
    return [
        replace(gap, p=float(p), gap=gap.gap if p < alpha else gap.gap._replace(low=0.0))
        for gap, p in zip(gaps, p_values, strict=True)
    ]


def largest(gaps: list[Gap]) -> Interval:
    """The highest value and ends over several gaps: all of them lie below its upper end."""
    return Interval(*(max(values) for values in zip(*(gap.gap for gap in gaps), strict=True)))


def _large(groups: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The large enough groups, and for the images in them the position of their group and the row."""
    known = np.flatnonzero(groups >= 0)
    present, counts = np.unique(groups[known], return_counts=True)
    kept = present[counts >= MIN_GROUP].astype(np.int64)
    rows = known[np.isin(groups[known], kept)]
    return kept, np.searchsorted(kept, groups[rows]), rows


def _interval(gap: float, again: Floats, by_chance: Floats, pair: Interval | None = None) -> Interval:
    upper, lower = np.quantile(again, [0.025, 0.975])
    low, high = 2 * gap - float(lower), 2 * gap - float(upper)
    if pair:
        low, high = min(low, pair.low), max(high, pair.high)
    low = min(low, gap - float(np.quantile(by_chance, 0.95)))
    return Interval(gap, float(np.clip(low, 0, gap)), float(np.clip(high, gap, 1)))


def _p_value(gap: float, by_chance: Floats) -> float:
    return float((1 + (by_chance >= gap - 1e-12).sum()) / (1 + len(by_chance)))
