"""Any property as a few cells: categories, ranges of a number, or clusters of points."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans

MAX_CATEGORIES = 10
"""A property with no more distinct numbers is categorical."""
MAX_CELLS = 12
"""The most cells of a number or a point."""
SAMPLES_PER_CELL = 15
"""The least samples per cell on average, if there are more than two cells."""
Cells = tuple[NDArray[np.int64], tuple[str, ...]]


def column_cells(values: pd.Series[Any]) -> Cells:
    """The cells of a column of a table: its values, or ranges of them if there are many different numbers.

    Missing values are a cell: they can reveal a class too.

    Returns:
        N indices from 0 on, and the cells' names.
    """
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and values.nunique() > MAX_CATEGORIES:
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
    """The cells of numbers or points: ranges with about as many samples each, or clusters of k-means.

    Labels are not used, so the cells themselves cannot add information about labels.

    Args:
        points: N x D, finite.
        seed: Seed of k-means, if D > 1.

    Returns:
        N indices from 0 on, and the cells' names.
    """
    count = int(np.clip(len(points) // SAMPLES_PER_CELL, 2, MAX_CELLS))
    if points.shape[1] == 1:
        numbers = points[:, 0]
        distinct = np.unique(numbers)
        if len(distinct) <= MAX_CATEGORIES:
            return np.searchsorted(distinct, numbers).astype(np.int64), tuple(f"{value:.4g}" for value in distinct)
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, count + 1)[1:-1]))
        bounds = [f"{edge:.3g}" for edge in edges]
        names = (f"below {bounds[0]}", *(f"{a} to {b}" for a, b in pairwise(bounds)), f"{bounds[-1]} and more")
        cells = np.searchsorted(edges, numbers, side="right")
        return cells.astype(np.int64), names
    std = points.std(0)
    scaled = (points - points.mean(0)) / np.where(std > 0, std, 1)
    count = min(count, len(np.unique(scaled, axis=0)))
    cells = KMeans(count, n_init=3, random_state=seed).fit_predict(scaled)
    return cells.astype(np.int64), tuple(f"cluster {i + 1}" for i in range(count))
