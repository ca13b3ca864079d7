"""Do pictures of a unit predict which of two images excites it more (Borowski et al. 2021)?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.methods.units.shared.similarity import cosine
from deeptroubles.statistics.intervals import Interval, mean_share


@dataclass(frozen=True)
class Simulation:
    """For each unit and strong image, the share of weak images over which it is chosen. All U x Q, in [0, 1].

    Attributes:
        pictures: With the pictures of the unit as explanation.
        natural: With as many natural images that excite the unit: the ceiling.
        random: With as many natural images of another unit, mean over the other units: the floor.
    """

    pictures: NDArray[np.float64]
    natural: NDArray[np.float64]
    random: NDArray[np.float64]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """How often the pictures predict which image excites the unit more. U, in [0, 1]."""
        return np.asarray(self.pictures.mean(1))

    @property
    def intervals(self) -> list[Interval]:
        """The accuracy of each unit, with Wilson's interval over its strong images."""
        return [mean_share(shares) for shares in self.pictures]


def simulate(
    explanation: NDArray[Any], strong: NDArray[Any], weak: NDArray[Any], opposite: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Choose between a strong and a weak image by their similarity to an explanation: the 2-AFC task, done by a model.

    The image with the higher similarity to the explanation is chosen (mean cosine similarity; with `opposite`, minus
    that to the opposite). Equal similarity counts half.

    Args:
        explanation: Features of pictures or images that should excite the unit, R x D.
        strong: Features of images that excite it, Q x D. None of them is part of the explanation.
        weak: Features of images that do not excite it, P x D.
        opposite: Features of pictures or images that should not excite it, S x D.

    Returns:
        The share of weak images over which each strong image is chosen. Q, in [0, 1].

    References:
        J. Borowski et al.: Exemplary natural images explain CNN activations better than state-of-the-art feature
        visualization, ICLR 2021, section 3 (the task).
        R. S. Zimmermann, D. Klindt, W. Brendel: Measuring mechanistic interpretability at scale without humans, NeurIPS
        2024, section 3 (done by a model; its sigmoid is above one half where the choice here is correct).
    """
    score = [_similarity(queries, explanation, opposite) for queries in (strong, weak)]
    higher = score[0][:, None] > score[1][None, :]
    equal = score[0][:, None] == score[1][None, :]
    return np.asarray((higher + 0.5 * equal).mean(1))


def simulation(
    pictures: NDArray[Any], references: NDArray[Any], strong: NDArray[Any], weak: NDArray[Any]
) -> Simulation:
    """The 2-AFC task for units, explained by their pictures, by natural images, and by those of other units.

    The mean over all natural images is subtracted from the features, which removes what they have in common. All are
    U x ... x D: R pictures of each unit, K images that excite it (the first R are the explanation), Q others that
    excite it, and P that do not.
    """
    units = range(len(pictures))
    center = np.concatenate([references, strong, weak], axis=1).mean((0, 1))
    pictures, references, strong, weak = (x - center for x in (pictures, references, strong, weak))
    natural = references[:, : pictures.shape[1]]
    others = [[simulate(natural[v], strong[u], weak[u]) for v in units if v != u] for u in units]
    return Simulation(
        pictures=np.stack([simulate(pictures[u], strong[u], weak[u]) for u in units]),
        natural=np.stack([simulate(natural[u], strong[u], weak[u]) for u in units]),
        random=np.stack([np.mean(o, axis=0) if o else np.full(strong.shape[1], np.nan) for o in others]),
    )


def _similarity(queries: NDArray[Any], explanation: NDArray[Any], opposite: NDArray[Any] | None) -> NDArray[np.float64]:
    similarity = cosine(queries, explanation).mean(1)
    return np.asarray(similarity if opposite is None else similarity - cosine(queries, opposite).mean(1))
