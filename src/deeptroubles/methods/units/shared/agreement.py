"""Do pictures of a unit from different random starts show the same thing?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.methods.units.shared.similarity import cosine


@dataclass(frozen=True, repr=False)
class Agreement(Brief):
    """Mean cosine similarity of a unit's pictures, in the features of an encoder. U each; NaN where there is no pair.

    Attributes:
        same: Similarity between pictures of the unit.
        other: Similarity between pictures of the unit and pictures of other units.
    """

    same: NDArray[np.float64]
    other: NDArray[np.float64]

    @property
    def relative(self) -> NDArray[np.float64]:
        """(same - other) / (1 - other): 1 for identical pictures, 0 if they are as similar as those of other units."""
        return np.divide(
            self.same - self.other, 1 - self.other, out=np.full_like(self.same, np.nan), where=self.other < 1
        )


def agreement(pictures: NDArray[Any]) -> Agreement:
    """Compare features of R pictures of each unit from different random starts (U x R x D)."""
    units, restarts = pictures.shape[:2]
    flat = pictures.reshape(units * restarts, -1)
    blocks = cosine(flat, flat).reshape(units, restarts, units, restarts).sum((1, 3))
    own = np.diagonal(blocks)
    with_itself = np.einsum("urr->u", cosine(pictures, pictures))
    return Agreement(
        same=_mean(own - with_itself, restarts * (restarts - 1)),
        other=_mean(blocks.sum(1) - own, (units - 1) * restarts**2),
    )


def _mean(total: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return total / count if count else np.full_like(total, np.nan)
