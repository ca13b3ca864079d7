"""Spectral relevance analysis (SpRAy): clusters of the heatmaps of a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.display import Brief
from deeptroubles.methods.clustering.fisher_score import fisher_score
from deeptroubles.methods.clustering.spectral import eigengap, laplacian_spectrum, neighbor_affinity, spectral_clusters

SIDE = 16
"""Heatmaps are compared at a size of SIDE x SIDE."""
MAX_CLUSTERS = 8
BOX = 5
"""A place is a square of BOX x BOX positions: a tenth of the image."""
MIN_HEATMAPS = 10
"""Fewer heatmaps are not clustered."""


@dataclass(frozen=True, repr=False)
class Clusters(Brief):
    """The clusters of N heatmaps of a class.

    Attributes:
        eigenvalues: The smallest eigenvalues of the Laplacian, ascending.
        gap: The largest gap between them.
        group: N, the cluster of each heatmap; the largest cluster is 0.
        fisher: Per cluster, its separation from the others (tau); 0 where there is only one cluster.
    """

    eigenvalues: NDArray[np.float64]
    gap: float
    group: NDArray[np.int64]
    fisher: tuple[float, ...]

    @property
    def count(self) -> int:
        """The number of clusters."""
        return len(self.fisher)


def shrunk(maps: Tensor) -> NDArray[np.float64]:
    """Scale maps (N x H x W) to SIDE x SIDE by averaging areas."""
    small = functional.interpolate(maps[:, None].double(), size=(SIDE, SIDE), mode="area")[:, 0]
    return np.asarray(small.cpu().numpy(), dtype=np.float64)


def small_heatmaps(maps: Tensor) -> NDArray[np.float64]:
    """Scale signed heatmaps (N x H x W) to SIDE x SIDE, and their absolute values to a sum of 1 (0 stays 0)."""
    small = shrunk(maps)
    total = np.abs(small).sum((1, 2), keepdims=True)
    return np.asarray(small / np.where(total > 0, total, 1))


def cluster_heatmaps(maps: NDArray[np.floating], seed: int = 0) -> Clusters:
    """Cluster the heatmaps of one class.

    A heatmap has the square root of their number of neighbors, at least 3. The number of clusters follows from the
    largest gap between eigenvalues, and is at most MAX_CLUSTERS.

    Args:
        maps: N x SIDE x SIDE, from `small_heatmaps`; at least MIN_HEATMAPS.
        seed: Seed of the clustering.

    Returns:
        The clusters.

    References:
        S. Lapuschkin et al.: Unmasking Clever Hans predictors, Nature Communications 2019. C. Anders et al.: Finding
        and removing Clever Hans, Information Fusion 2022 (Fisher's discriminant on the spectral embedding).
    """
    points = maps.reshape(len(maps), -1)
    affinity = neighbor_affinity(points, max(3, round(len(points) ** 0.5)))
    values, vectors = laplacian_spectrum(affinity, MAX_CLUSTERS + 1)
    count, gap = eigengap(values)
    group = spectral_clusters(vectors, count, seed)
    fisher = tuple(fisher_score(vectors, (group == i).astype(np.int64)) for i in range(count))
    return Clusters(values, gap, group, fisher)


def place_of(maps: NDArray[np.floating], *, at_edge: bool) -> tuple[int, int]:
    """First row and column of the square of BOX x BOX with the most evidence on average over heatmaps.

    Args:
        maps: N x SIDE x SIDE, shares of evidence, not negative.
        at_edge: Consider only squares that touch the edge of the image.
    """
    windows = np.lib.stride_tricks.sliding_window_view(maps.mean(0), (BOX, BOX)).sum((2, 3))
    if at_edge:
        windows[1:-1, 1:-1] = -1
    row, column = np.unravel_index(int(np.argmax(windows)), windows.shape)
    return int(row), int(column)


def evidence_at(maps: NDArray[np.floating], place: tuple[int, int]) -> NDArray[np.float64]:
    """The share of evidence of each heatmap (N x SIDE x SIDE) in the square that starts at a place. N."""
    row, column = place
    return np.asarray(maps[:, row : row + BOX, column : column + BOX].sum((1, 2)), dtype=np.float64)
