"""A map of points in few dimensions: two numbers for each, so that similar ones lie close together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

Layout = Literal["pca", "tsne"]
MAX_TSNE = 5000
"""t-SNE places at most this many points; of more, a random sample."""
_BEFORE_TSNE = 50
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class FlatMap:
    """A map of N points.

    Attributes:
        places: N x 2; NaN for points that were left out.
        explained: The share of the variance along each axis (PCA); None for t-SNE, whose axes have no meaning.
    """

    places: NDArray[np.float64]
    explained: tuple[float, float] | None


def flat_map(points: NDArray[np.floating], layout: Layout = "pca", *, seed: int = 0) -> FlatMap:
    """Lay out points on a plane.

    Args:
        points: N x D, finite.
        layout: `pca`: the two directions of most variance. `tsne`: neighbors stay neighbors (after PCA to 50
            dimensions); of more than MAX_TSNE points a random sample is placed.
        seed: Seed of the sample, and of t-SNE.

    References:
        L. van der Maaten, G. Hinton: Visualizing data using t-SNE, JMLR 2008.
    """
    values = np.asarray(points, dtype=np.float64)
    places = np.zeros((len(values), 2))
    width = min(values.shape[0], values.shape[1], _BEFORE_TSNE if layout == "tsne" else 2)
    if width == 0 or not np.ptp(values, axis=0).any():
        return FlatMap(places, (0.0, 0.0) if layout == "pca" else None)
    reduced = PCA(width, svd_solver="covariance_eigh" if values.shape[1] <= len(values) else "full").fit(values)
    coordinates = reduced.transform(values)
    if layout == "pca" or len(values) < 4:
        places[:, : min(2, width)] = coordinates[:, :2]
        shares = np.append(reduced.explained_variance_ratio_, 0.0)
        return FlatMap(places, (float(shares[0]), float(shares[1])) if layout == "pca" else None)
    chosen = np.arange(len(values))
    if len(values) > MAX_TSNE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(values), MAX_TSNE, replace=False))
    start = "pca" if width > 1 else "random"
    perplexity = min(_PERPLEXITY, (len(chosen) - 1) / 3)
    places[:] = np.nan
    places[chosen] = TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(coordinates[chosen])
    return FlatMap(places, None)
