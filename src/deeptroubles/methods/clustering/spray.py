"""Spectral relevance analysis (SpRAy): the heatmaps of a class, clustered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.lrp import lrp
from deeptroubles.methods.clustering.fisher_score import fisher_score
from deeptroubles.methods.clustering.spectral import eigengap, laplacian_spectrum, neighbour_affinity, spectral_clusters

SIDE = 16
"""Heatmaps are scaled to so many rows and columns before they are compared."""
MAX_CLUSTERS = 8
BOX = 5
"""A place is a square of so many rows and columns: a tenth of the image."""
MIN_HEATMAPS = 10
"""Fewer heatmaps than this are not clustered."""


@dataclass(frozen=True)
class Clusters:
    """How N heatmaps of a class fall into groups.

    Attributes:
        eigenvalues: The smallest ones of the graph's Laplacian, rising.
        gap: The largest gap between them.
        group: N, the cluster of each heatmap; the largest cluster is 0.
        fisher: Per cluster, how far it is from the others (tau); 0 where there is one cluster only.
    """

    eigenvalues: NDArray[np.float64]
    gap: float
    group: NDArray[np.int64]
    fisher: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(self.fisher)


def shrunk(maps: Tensor) -> NDArray[np.float64]:
    """Scale maps (N x H x W) to SIDE x SIDE by means over areas."""
    small = functional.interpolate(maps[:, None].double(), size=(SIDE, SIDE), mode="area")[:, 0]
    return np.asarray(small.cpu().numpy(), dtype=np.float64)


def small_heatmaps(maps: Tensor) -> NDArray[np.float64]:
    """Scale heatmaps to SIDE x SIDE by means over areas, and so that their absolute values sum to 1.

    Args:
        maps: N x H x W, raw and signed.

    Returns:
        N x SIDE x SIDE; all 0 for a map that is.
    """
    small = shrunk(maps)
    total = np.abs(small).sum((1, 2), keepdims=True)
    return np.asarray(small / np.where(total > 0, total, 1))


def cluster_heatmaps(maps: NDArray[np.floating], seed: int = 0) -> Clusters:
    """Cluster the heatmaps of one class.

    Their number decides how many neighbours a heatmap has: the root of it, at least 3. There are as many clusters as
    the largest gap in the eigenvalues says, at most MAX_CLUSTERS.

    Args:
        maps: N x SIDE x SIDE, as `small_heatmaps` gives them; at least MIN_HEATMAPS.
        seed: Of the starting points of the clustering.

    References:
        S. Lapuschkin et al.: Unmasking Clever Hans predictors, Nature Communications 2019. C. Anders et al.: Finding
        and removing Clever Hans, Information Fusion 2022 (Fisher's discriminant on the spectral embedding).
    """
    points = maps.reshape(len(maps), -1)
    affinity = neighbour_affinity(points, max(3, round(len(points) ** 0.5)))
    values, vectors = laplacian_spectrum(affinity, MAX_CLUSTERS + 1)
    count, gap = eigengap(values)
    group = spectral_clusters(vectors, count, seed)
    fisher = tuple(fisher_score(vectors, (group == i).astype(np.int64)) for i in range(count))
    return Clusters(values, gap, group, fisher)


def place_of(maps: NDArray[np.floating], *, at_edge: bool) -> tuple[int, int]:
    """The square of BOX x BOX at which heatmaps have most evidence on average: its first row and column.

    Args:
        maps: N x SIDE x SIDE, shares of evidence, not negative.
        at_edge: Look only at squares that touch the edge of the image.
    """
    windows = np.lib.stride_tricks.sliding_window_view(maps.mean(0), (BOX, BOX)).sum((2, 3))
    if at_edge:
        windows[1:-1, 1:-1] = -1
    row, column = np.unravel_index(int(np.argmax(windows)), windows.shape)
    return int(row), int(column)


def evidence_at(maps: NDArray[np.floating], place: tuple[int, int]) -> NDArray[np.float64]:
    """The share of evidence of each heatmap (N x SIDE x SIDE) in the square that begins at a place. N."""
    row, column = place
    return np.asarray(maps[:, row : row + BOX, column : column + BOX].sum((1, 2)), dtype=np.float64)


def eigengap_score(classifier: Classifier, images: Tensor, targets: Tensor, *, seed: int = 0) -> float:
    """One number for a model: the largest eigengap that says more than one cluster, over classes; 0 where none does.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        targets: N, the class of each image, for which it is explained.
        seed: Of the clustering.
    """
    return max((c.gap for c in _by_class(classifier, images, targets, seed) if c.count > 1), default=0.0)


def fisher_tau(classifier: Classifier, images: Tensor, targets: Tensor, *, seed: int = 0) -> float:
    """One number for a model: the largest Fisher score of a cluster, over classes. Arguments as `eigengap_score`."""
    return max((max(c.fisher) for c in _by_class(classifier, images, targets, seed)), default=0.0)


def _by_class(classifier: Classifier, images: Tensor, targets: Tensor, seed: int) -> list[Clusters]:
    maps = [
        lrp(classifier, batch, target)
        for batch, target in zip(torch.split(images, 64), torch.split(targets, 64), strict=True)
    ]
    small = small_heatmaps(torch.cat(maps))
    groups = [small[(targets == target).cpu().numpy()] for target in torch.unique(targets)]
    return [cluster_heatmaps(group, seed) for group in groups if len(group) >= MIN_HEATMAPS]
