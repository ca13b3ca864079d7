"""Units that respond alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.display import Brief

_AT_ONCE = 512
"""Units that are compared with all others at a time, which bounds the memory."""


@dataclass(frozen=True, repr=False)
class SimilarUnits(Brief):
    """For each of U units the k units most correlated with it, the highest correlation first. U x k.

    Attributes:
        units: Their numbers; -1 where there are fewer, because a unit is constant.
        correlations: Pearson's correlation over the images; NaN where there are fewer.
    """

    units: NDArray[np.int64]
    correlations: NDArray[np.float64]


def similar_units(values: NDArray[Any], count: int) -> SimilarUnits:
    """Find the units whose activations are most correlated.

    Args:
        values: R x U, the activations on R images.
        count: How many to find for each unit.

    Returns:
        At most U - 1 units for each, never the unit itself; of equal correlations the lower unit comes first.
    """
    centered = values - values.mean(0, dtype=np.float64)
    length = np.linalg.norm(centered, axis=0)
    varies = length > 1e-9 * np.abs(values).max(initial=1e-30)
    scaled = np.divide(centered, length, out=np.zeros_like(centered), where=varies)
    total = values.shape[1]
    k = min(count, total - 1)
    units = np.full((total, k), -1, dtype=np.int64)
    correlations = np.full((total, k), np.nan)
    for start in range(0, total, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, total))
        found = np.clip(scaled[:, rows].T @ scaled, -1, 1)
        found[~varies[rows]] = -np.inf
        found[:, ~varies] = -np.inf
        found[np.arange(len(rows)), rows] = -np.inf
        order = np.argsort(-found, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(found, order, 1)
        units[rows] = np.where(np.isfinite(best), order, -1)
        correlations[rows] = np.where(np.isfinite(best), best, np.nan)
    return SimilarUnits(units, correlations)
