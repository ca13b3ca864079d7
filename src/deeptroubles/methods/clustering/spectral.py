"""Spectral clustering of points by their nearest neighbors, with the number of clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.neighbors import kneighbors_graph

Floats = NDArray[np.float64]


def neighbor_affinity(points: NDArray[Any], neighbors: int) -> Floats:
    """Affinity of points: 1 where either point is among the other's nearest neighbors, otherwise 0.

    Args:
        points: N x D, finite; N > neighbors.
        neighbors: Number of nearest neighbors (Euclidean), at least 1.

    Returns:
        N x N, symmetric, 0 on the diagonal.

    References:
        S. Lapuschkin et al.: Unmasking Clever Hans predictors, Nature Communications 2019, supplementary note on SpRAy.
    """
    nearest = kneighbors_graph(points, neighbors, include_self=False).toarray()
    affinity: Floats = np.maximum(nearest, nearest.T)
    return affinity


def laplacian_spectrum(affinity: NDArray[Any], count: int) -> tuple[Floats, Floats]:
    """The smallest eigenvalues of the symmetric normalized Laplacian, and their eigenvectors.

    The number of zero eigenvalues is the number of connected components; all eigenvalues lie in [0, 2].

    Args:
        affinity: N x N, symmetric, not negative, with positive row sums.
        count: Number of eigenvalues, 1 to N.

    Returns:
        Eigenvalues, ascending, count; eigenvectors in columns, N x count.

    References:
        U. von Luxburg: A tutorial on spectral clustering, Statistics and Computing 2007, section 3.2.
    """
    scale = 1 / np.sqrt(affinity.sum(1))
    laplacian = np.eye(len(affinity)) - scale[:, None] * affinity * scale
    values, vectors = eigh(laplacian, subset_by_index=(0, count - 1))
    return np.maximum(values, 0), vectors


def eigengap(eigenvalues: NDArray[Any]) -> tuple[int, float]:
    """The number of clusters: that of the eigenvalues before the largest gap.

    Args:
        eigenvalues: Ascending, at least two.

    Returns:
        The number of clusters, 1 to len(eigenvalues) - 1, and the gap.

    References:
        U. von Luxburg: A tutorial on spectral clustering, Statistics and Computing 2007, section 8.3.
    """
    gaps = np.diff(eigenvalues)
    widest = int(np.argmax(gaps))
    return widest + 1, float(gaps[widest])


def spectral_clusters(eigenvectors: NDArray[Any], clusters: int, seed: int = 0) -> NDArray[np.int64]:
    """The cluster of each point, by k-means on the first eigenvectors with rows of norm 1; the largest is cluster 0.

    References:
        A. Ng, M. Jordan, Y. Weiss: On spectral clustering, NIPS 2001.
    """
    rows = eigenvectors[:, :clusters]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(rows)
    order = np.argsort(-np.bincount(found, minlength=clusters), kind="stable")
    ranks: NDArray[np.int64] = np.argsort(order)[found].astype(np.int64)
    return ranks
