"""The area under the ROC curve of many scores for many binary properties at once, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

_HALVINGS = 50


@dataclass(frozen=True)
class Auroc:
    """How well each of U scores separates samples with a property from samples without it, for each of W properties.

    Attributes:
        value: U x W: the share of pairs (one sample with the property, one without) in which the one with it has the
            higher score; ties count half. NaN where there are no pairs.
        present: W, number of samples with the property in a pair.
        absent: W, number of samples without the property in a pair.
        pairs: W, number of pairs.
        dispersion: W, the sum over strata of pairs x (samples / 2 - 1), on which the variance depends.
    """

    value: Floats
    present: NDArray[np.int64]
    absent: NDArray[np.int64]
    pairs: Floats
    dispersion: Floats

    def take(self, chosen: NDArray[np.bool_]) -> Auroc:
        """Select some properties."""
        present, absent = self.present[chosen], self.absent[chosen]
        return Auroc(self.value[:, chosen], present, absent, self.pairs[chosen], self.dispersion[chosen])

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper ends, U x W each; [0, 1] where there are no pairs.

        A score interval: the ends are the areas whose own standard error, times the quantile of the level, reaches the
        observed area. So the interval has a positive width even for perfect separation. At 1/2 the variance is that of
        the Wilcoxon test: the interval excludes 1/2 exactly where that test (normal approximation) is significant. All
        strata are assumed to have the same area.

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
        """The end of the interval between the observed area and 0 or 1, by bisection."""
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
    """The area under the ROC curve of every column of scores for every property.

    Args:
        values: R x U, finite.
        present: R x W, whether a sample has a property.
        known: R x W, whether that is known; other samples are left out. Default: all.
        strata: R. Pairs consist of samples of the same stratum, as in van Elteren's test, and all pairs count equally,
            so differences between strata do not affect the area. Default: one stratum.

    Returns:
        The areas of U scores for W properties.

    References:
        P. van Elteren: On the combination of independent two-sample tests of Wilcoxon, 1960.
    """
    rows, units = values.shape
    known = np.ones_like(present) if known is None else known
    strata = np.zeros(rows, dtype=np.int64) if strata is None else strata
    properties = present.shape[1]
    concordant, pairs, dispersion = np.zeros((units, properties)), np.zeros(properties), np.zeros(properties)
    counts = np.zeros((2, properties), dtype=np.int64)
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
