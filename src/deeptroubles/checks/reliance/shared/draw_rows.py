"""Which images take part where not all can."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES


def draw_rows(rows: NDArray[np.int64], targets: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """At most `size` random rows, of as many classes as leave each of them MIN_IMAGES images."""
    if len(rows) <= size:
        return rows
    random = np.random.default_rng(seed)
    rows = random.permutation(rows)
    classes, counts = np.unique(targets[rows], return_counts=True)
    largest = classes[np.argsort(-counts, kind="stable")][: size // (2 * MIN_IMAGES)]
    rows = rows[np.isin(targets[rows], largest)]
    turns = pd.Series(targets[rows]).groupby(targets[rows]).cumcount().to_numpy()  # classes take turns
    chosen: NDArray[np.int64] = rows[np.argsort(turns, kind="stable")][:size]
    return np.sort(chosen)
