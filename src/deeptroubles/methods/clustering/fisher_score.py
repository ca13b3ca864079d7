"""The Fisher discriminant: how well groups of points are separated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh


def fisher_score(points: NDArray[Any], groups: NDArray[np.integer], ridge: float = 1e-3) -> float:
    """The largest ratio of scatter between groups to scatter within groups over all directions (tau).

    As a maximum, it grows with the number of dimensions, and with groups that were found on the same points. It ranks
    groups, but tests nothing.

    Args:
        points: N x D, finite.
        groups: N, the group of each point.
        ridge: Added to the scatter within groups, as a share of the mean scatter of a dimension, so that a direction
            without scatter within groups does not give an infinite ratio.

    Returns:
        At least 0; 0 where there is only one group, or all points are equal.

    References:
        C. Anders et al.: Finding and removing Clever Hans, Information Fusion 2022, section 3.2. R. A. Fisher: The use
        of multiple measurements in taxonomic problems, Annals of Eugenics 1936.
    """
    centered = points - points.mean(0)
    between = np.zeros((points.shape[1], points.shape[1]))
    for group in np.unique(groups):
        chosen = centered[groups == group]
        between += len(chosen) * np.outer(chosen.mean(0), chosen.mean(0))
    total = centered.T @ centered
    mean_scatter = np.trace(total) / len(total)
    if mean_scatter == 0:
        return 0.0
    within = total - between + ridge * mean_scatter * np.eye(len(total))
    last = len(total) - 1
    return float(max(0.0, eigh(between, within, eigvals_only=True, subset_by_index=(last, last))[0]))
