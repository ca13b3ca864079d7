"""Is a picture of a unit processed along the same path in the network as natural images (Geirhos et al. 2024)?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.methods.units.shared.similarity import spearman

MIN_GAP = 0.1
"""A layer is skipped unless natural images of one unit are more similar than those of different units by this much."""


@dataclass(frozen=True, repr=False)
class PathSimilarity(Brief):
    """Similarity of activations inside the network, for each unit and layer: all U x L, from the first to the last.

    Attributes:
        layers: The L layers before the units, in the order in which they are computed.
        pictures: Mean similarity of a unit's pictures to the natural images that excite it.
        natural: Mean similarity among the natural images that excite it (normalized: 1).
        random: Mean similarity of these to the natural images of other units (normalized: 0).
    """

    layers: tuple[str, ...]
    pictures: NDArray[np.float64]
    natural: NDArray[np.float64]
    random: NDArray[np.float64]

    @property
    def normalized(self) -> NDArray[np.float64]:
        """(pictures - random) / (natural - random), U x L; NaN where the gap between natural and random is too small.

        1: as similar as natural images that excite the unit; 0: as similar as random images; below 0: less similar.
        """
        gap = self.natural - self.random
        found = np.full_like(gap, np.nan)
        np.divide(self.pictures - self.random, gap, out=found, where=gap >= MIN_GAP)
        return found

    @property
    def mean(self) -> NDArray[np.float64]:
        """The normalized similarity, mean over the layers that are not skipped. U; NaN where all are skipped."""
        return _mean(self.normalized)

    @property
    def late(self) -> NDArray[np.float64]:
        """The normalized similarity, mean over the last third of the layers. U; NaN where all are skipped.

        In ordinary networks, pictures resemble random images in early layers and natural images of the unit in late
        layers.
        """
        first = 2 * len(self.layers) // 3
        return _mean(self.normalized[:, first:])


def path_similarity(
    pictures: Mapping[str, NDArray[Any]], natural: Mapping[str, NDArray[Any]], images: NDArray[np.int64]
) -> PathSimilarity:
    """Compare activations inside the network between pictures of units and natural images that excite the same units.

    The similarity is Spearman's rank correlation, as in the paper. Unlike there, the mean over all natural images is
    subtracted from each activation first: images with a common background are nearly the same in early layers, and the
    small gap between natural and random would amplify every difference.

    Args:
        pictures: Per layer the activations of R pictures of each unit, U x R x D.
        natural: Per layer the activations of the K >= 2 images that excite each unit most, U x K x D.
        images: The positions of these images, U x K. An image is not compared with itself.

    References:
        R. Geirhos, R. S. Zimmermann, B. Bilodeau, W. Brendel, B. Kim: Don't trust your eyes: on the (un)reliability of
        feature visualizations, ICML 2024, section 3 and figure 5.
    """
    units, count = images.shape
    owner, which = np.repeat(np.arange(units), count), images.ravel()
    other_image = which[:, None] != which[None, :]
    same_unit = owner[:, None] == owner[None, :]
    found = []
    for layer, activations in natural.items():
        center = activations.mean((0, 1))
        centered = (activations - center).reshape(units * count, -1)
        among = spearman(centered, centered)
        to_own = spearman(pictures[layer] - center, activations - center).mean((1, 2))
        means = [_rows_mean(among, owner, chosen) for chosen in (same_unit & other_image, ~same_unit & other_image)]
        found.append((to_own, *means))
    own, within, random = np.stack(found, axis=2)
    return PathSimilarity(tuple(natural), own, within, random)


def _rows_mean(
    similarity: NDArray[np.float64], owner: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean of the chosen entries over all rows of each unit; NaN where none is chosen. U."""
    total = np.bincount(owner, (similarity * chosen).sum(1))
    count = np.bincount(owner, chosen.sum(1))
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the layers that are not NaN. U."""
    present = ~np.isnan(values)
    count = present.sum(1)
    total = np.where(present, values, 0).sum(1)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
