"""Similarities of feature vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Vectors = NDArray[Any]


def cosine(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Cosine similarity of all pairs of vectors, ... x M x D and ... x N x D to ... x M x N; 0 where one is 0."""
    return np.asarray(_unit_length(first) @ np.swapaxes(_unit_length(second), -1, -2))


def spearman(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Spearman's rank correlation of all pairs of vectors, as `cosine`; 0 where one is constant."""
    middle = (first.shape[-1] + 1) / 2
    return cosine(rankdata(first, axis=-1) - middle, rankdata(second, axis=-1) - middle)


def _unit_length(vectors: Vectors) -> NDArray[np.float64]:
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))
