"""The nearest of those with another prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_others(
    vector: NDArray[np.floating], vectors: NDArray[np.floating], allowed: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest of the allowed vectors (Euclidean distance), nearest first; the first of those that are equally near.

    Args:
        vector: D.
        vectors: N x D.
        allowed: Which of them may be chosen. N.
        count: How many, at most.

    Returns:
        Rows of `vectors`, and their distances.
    """
    rows = np.flatnonzero(allowed)
    distances = np.linalg.norm(vectors[rows].astype(np.float64) - vector, axis=1)
    order = np.argsort(distances, kind="stable")[:count]
    return rows[order], distances[order]
