"""Any property as a few cells: categories, ranges of a number, or groups of points."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans

FEW = 10
"""A property of no more different numbers than this is taken for categories."""
MOST = 12
"""A number or a point gets no more cells than this."""
A_CELL = 15
"""A cell holds so many samples on average, at least, while there are two."""
Cells = tuple[NDArray[np.int64], tuple[str, ...]]


def column_cells(values: pd.Series[Any]) -> Cells:
    """The cells of a column of a table: its values, or ranges of them where they are many different numbers.

    A missing value is a cell of its own: that something is not known can give a class away, too.

    Returns:
        N indices from 0 on, and the cells' names.
    """
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and values.nunique() > FEW:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        known = np.isfinite(numbers)
        cells = np.zeros(len(values), dtype=np.int64)
        cells[known], names = point_cells(numbers[known, None])
        if known.all():
            return cells, names
        cells[~known] = len(names)
        return cells, (*names, "missing")
    codes, found = pd.factorize(values.map(str).where(values.notna(), "missing"), sort=True)
    return codes.astype(np.int64), tuple(map(str, found))


def point_cells(points: NDArray[np.float64], seed: int = 0) -> Cells:
    """The cells of numbers or points: ranges with about as many samples each, or groups found by k-means.

    Labels play no part in it, so that whatever the cells tell of labels is not owed to the cells.

    Args:
        points: N x D, finite.
        seed: Of the starting points of k-means, where D > 1.

    Returns:
        N indices from 0 on, and the cells' names.
    """
    count = int(np.clip(len(points) // A_CELL, 2, MOST))
    if points.shape[1] == 1:
        numbers = points[:, 0]
        different = np.unique(numbers)
        if len(different) <= FEW:
            return np.searchsorted(different, numbers).astype(np.int64), tuple(f"{value:.4g}" for value in different)
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, count + 1)[1:-1]))
        bounds = [f"{edge:.3g}" for edge in edges]
        names = (f"below {bounds[0]}", *(f"{a} to {b}" for a, b in pairwise(bounds)), f"{bounds[-1]} and more")
        cells = np.searchsorted(edges, numbers, side="right")
        return cells.astype(np.int64), names
    spread = points.std(0)
    scaled = (points - points.mean(0)) / np.where(spread > 0, spread, 1)
    count = min(count, len(np.unique(scaled, axis=0)))
    cells = KMeans(count, n_init=3, random_state=seed).fit_predict(scaled)
    return cells.astype(np.int64), tuple(f"group {i + 1}" for i in range(count))
