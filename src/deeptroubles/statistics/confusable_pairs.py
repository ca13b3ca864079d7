"""Which pairs of classes are confused more than accuracy alone gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.progress import track

SHUFFLES = 499


@dataclass(frozen=True)
class Pairs:
    """Pairs of classes, the most confusable first.

    Attributes:
        first: P class indices. Likewise `second`, the larger one.
        mass: P, the mean of: the mean probability of the second on images of the first, and the reverse.
        expected: P, the same if the probability that is not on the true class were spread evenly over the others.
        p: P, how often such spread by chance gives any pair a larger excess: corrected for the number of pairs.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mass: NDArray[np.float64]
    expected: NDArray[np.float64]
    p: NDArray[np.float64]


def confusable_pairs(
    probabilities: NDArray[np.float64], targets: NDArray[np.integer], classes: NDArray[np.int64], *, seed: int = 0
) -> Pairs:
    """Rank pairs of classes by the probability that each gets on images of the other, and test them.

    If only accuracy mattered, the probabilities of the wrong classes of an image could be rotated without a difference.
    Rotating them by a drawn number for each image gives the excess of the largest pair by chance (max-T). With two
    classes there is nothing to rotate, and p is 1.

    Args:
        probabilities: N x K.
        targets: N, the true classes.
        classes: C of the classes, at least two, in ascending order, with at least one image each; pairs of these are
            ranked.
        seed: Seed of the rotations.

    Returns:
        All pairs of the C classes.

    References:
        P. Westfall, S. Young: Resampling-based multiple testing, Wiley 1993 (single-step max-T).
    """
    count = probabilities.shape[1]
    rows = np.flatnonzero(np.isin(targets, classes))
    values, true = probabilities[rows], np.asarray(targets)[rows]
    wrong = np.arange(count - 1) + (np.arange(count - 1) >= true[:, None])
    others = np.take_along_axis(values, wrong, 1)
    owner = np.searchsorted(classes, true)
    # Where each of the chosen classes stands among the wrong ones of each image; any place for its own class.
    place = np.where(classes == true[:, None], 0, classes - (classes > true[:, None]))
    upper = np.triu_indices(len(classes), 1)

    def mass(shift: NDArray[np.integer]) -> NDArray[np.float64]:
        moved = np.take_along_axis(others, (place + shift[:, None]) % max(1, count - 1), 1)
        total = np.zeros((len(classes), len(classes)))
        np.add.at(total, owner, moved)
        means = total / np.bincount(owner, minlength=len(classes))[:, None]
        return np.asarray(((means + means.T) / 2)[upper])

    images = np.bincount(owner, minlength=len(classes))
    mean = np.bincount(owner, others.mean(1), len(classes)) / images
    variance = np.bincount(owner, others.var(1), len(classes)) / images**2
    expected, spread = (mean[upper[0]] + mean[upper[1]]) / 2, np.sqrt(variance[upper[0]] + variance[upper[1]]) / 2
    spread = np.maximum(spread, 1e-12)
    found = mass(np.zeros(len(rows), dtype=np.int64))
    random = np.random.default_rng(seed)
    largest = np.empty(SHUFFLES)
    for i in track(range(SHUFFLES), "Comparing pairs of classes"):
        shift = random.integers(0, max(1, count - 1), len(rows))
        largest[i] = ((mass(shift) - expected) / spread).max()
    excess = (found - expected) / spread
    p = (1 + SHUFFLES - np.searchsorted(np.sort(largest), excess - 1e-9)) / (1 + SHUFFLES)
    order = np.argsort(-found, kind="stable")
    return Pairs(classes[upper[0]][order], classes[upper[1]][order], found[order], expected[order], p[order])
