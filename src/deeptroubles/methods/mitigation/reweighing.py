"""Reweighing: weights that make class and group independent (Kamiran & Calders)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.balanced_accuracy import cell_counts


def reweighing(classes: NDArray[np.integer], groups: NDArray[np.integer]) -> NDArray[np.float64]:
    """A weight for every image, so that every group has the class shares of the whole.

    The weight of class y in group g is P(y) P(g) / P(y, g). If every class occurs in every group, the weights sum
    to N, and those of each class and each group to its number of images.

    Args:
        classes: N, from 0 on.
        groups: N, from 0 on.

    Returns:
        N, above 0.

    References:
        F. Kamiran, T. Calders: Data preprocessing techniques for classification without discrimination, Knowledge and
        Information Systems 2012, section 3.2.
    """
    counts = cell_counts(groups, classes)
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    weights: NDArray[np.float64] = (expected / np.maximum(counts, 1))[groups, classes]
    return weights


def balanced_rows(classes: NDArray[np.integer], groups: NDArray[np.integer], *, seed: int = 0) -> NDArray[np.int64]:
    """Rows with equal numbers of every pair of class and group that occurs, as many as of the rarest.

    Args:
        classes: N, from 0 on.
        groups: N, from 0 on.
        seed: Decides which rows are drawn.

    References:
        P. Kirichenko, P. Izmailov, A. G. Wilson: Last layer re-training is sufficient for robustness to spurious
        correlations, ICLR 2023.
    """
    cells = groups * (int(classes.max()) + 1) + classes
    shuffled = np.random.default_rng(seed).permutation(len(cells))
    _, where, counts = np.unique(cells[shuffled], return_inverse=True, return_counts=True)
    position = np.empty(len(cells), dtype=np.int64)  # of each row in its cell
    position[np.argsort(where, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return np.sort(shuffled[position < counts.min()])
