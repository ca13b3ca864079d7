"""The area under the ROC curve of many numbers for many yes-or-no questions at once, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

_HALVINGS = 50


@dataclass(frozen=True)
class Auroc:
    """How well each of U numbers tells samples with a property from samples without it, for each of W properties.

    Attributes:
        value: U x W: the share of pairs (one sample with the property, one without) in which the one with it has the
            higher number; ties count half. NaN where there are no pairs.
        present: W, how many samples with the property are in a pair.
        absent: W, how many samples without it are.
        pairs: W, how many pairs there are.
        dispersion: W, the sum over strata of pairs x (samples / 2 - 1), on which the variance depends.
    """

    value: Floats
    present: NDArray[np.int64]
    absent: NDArray[np.int64]
    pairs: Floats
    dispersion: Floats

    def take(self, words: NDArray[np.bool_]) -> Auroc:
        """The same of some properties only."""
        return Auroc(
            self.value[:, words], self.present[words], self.absent[words], self.pairs[words], self.dispersion[words]
        )

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper ends, U x W each; [0, 1] where there are no pairs.

        The ends are the areas t that lie as many standard errors from what was seen as the level asks for, where the
        standard error is that of t and not of what was seen. So it does not shrink to nothing where the samples are
        told apart without a mistake. At 1/2 the variance is that of the Wilcoxon test: the interval leaves 1/2 out
        exactly where that test (normal approximation) is significant. Strata are taken to have the same area.

        References:
            J. A. Hanley, B. J. McNeil: The meaning and use of the area under a ROC curve, Radiology 1982.
            R. G. Newcombe: Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part
            2, Statistics in Medicine 2006, method 5.
        """
        z = float(stats.norm.isf((1 - level) / 2))
        value = np.where(np.isnan(self.value), 0.5, self.value)
        low = np.where(self.pairs > 0, self._end(value, z, np.zeros_like(value)), 0.0)
        high = np.where(self.pairs > 0, self._end(value, z, np.ones_like(value)), 1.0)
        return low, high

    def _end(self, value: Floats, z: float, outside: Floats) -> Floats:
        """The end of the interval between what was seen and 0 or 1, by bisection."""
        inside = value.copy()
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            beyond = (value - middle) ** 2 > z * z * self._variance(middle)
            inside, outside = np.where(beyond, inside, middle), np.where(beyond, middle, outside)
        return inside

    def _variance(self, area: Floats) -> Floats:
        shape = (1 - area) / (2 - area) + area / (1 + area)
        pairs = np.maximum(self.pairs, 1)
        variance: Floats = area * (1 - area) * (pairs + shape * self.dispersion) / pairs**2
        return variance


def auroc(
    values: NDArray[np.floating],
    present: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
    strata: NDArray[np.integer] | None = None,
) -> Auroc:
    """The area under the ROC curve of every column of numbers for every property.

    Args:
        values: R x U, finite.
        present: R x W, whether a sample has a property.
        known: R x W, whether that is known; samples of which it is not are left out. Default: all.
        strata: R. Only samples of the same stratum make a pair, as in van Elteren's test, and all pairs count the same.
            So an area above 1/2 is not owed to what the strata differ in. Default: one stratum.

    References:
        P. van Elteren: On the combination of independent two-sample tests of Wilcoxon, 1960.
    """
    rows, units = values.shape
    known = np.ones_like(present) if known is None else known
    strata = np.zeros(rows, dtype=np.int64) if strata is None else strata
    words = present.shape[1]
    concordant, pairs, dispersion = np.zeros((units, words)), np.zeros(words), np.zeros(words)
    counts = np.zeros((2, words), dtype=np.int64)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for index, pattern in enumerate(patterns.T):
        columns = np.flatnonzero(which.reshape(-1) == index)
        for stratum in np.unique(strata[pattern]):
            chosen = np.flatnonzero(pattern & (strata == stratum))
            carried = present[np.ix_(chosen, columns)].astype(np.float64)
            having = carried.sum(0)
            lacking = len(chosen) - having
            mixed = having * lacking > 0
            if not mixed.any():
                continue
            ranks = stats.rankdata(values[chosen], axis=0)
            concordant[:, columns] += ranks.T @ carried - having * (having + 1) / 2
            pairs[columns] += having * lacking
            dispersion[columns] += having * lacking * (len(chosen) / 2 - 1)
            counts[:, columns] += (np.stack([having, lacking]) * mixed).astype(np.int64)
    value = np.where(pairs > 0, concordant / np.maximum(pairs, 1), np.nan)
    return Auroc(value, counts[0], counts[1], pairs, dispersion)
