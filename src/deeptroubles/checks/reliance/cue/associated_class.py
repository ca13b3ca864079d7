"""The class associated with a cue, chosen on other images than those on which the effect is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deeptroubles.recording import Recording


def own_classes(recording: Recording) -> NDArray[np.int64]:
    """The class of each image: the true one where it is known, otherwise the prediction. N."""
    return np.where(recording.targets >= 0, recording.targets, recording.predicted)


def associated_class(
    effect: NDArray[np.float64], own: NDArray[np.int64], seed: int, names: Sequence[str]
) -> tuple[str, NDArray[np.int64]]:
    """Choose the class whose probability rises most in images of other classes.

    The images are divided into two random halves, and each half uses the class that the other half chose, so that
    choosing the largest of many effects does not bias its mean.

    Args:
        effect: The increase of each class in each image, N x K.
        own: Each image's own class, N.
        seed: Seed of the halves.
        names: K class names.

    Returns:
        The name of the class that all images choose together, and the class used for each image (N; -1 where that is
        its own class).
    """
    half = np.random.default_rng(seed).permutation(len(own)) % 2
    elsewhere = np.where(own[:, None] == np.arange(effect.shape[1]), np.nan, effect)
    chosen = np.array([_highest(elsewhere[half != side]) for side in (0, 1)])[half]
    return names[_highest(elsewhere)], np.where(chosen == own, -1, chosen)


def _highest(effect: NDArray[np.float64]) -> int:
    counts = np.isfinite(effect).sum(0)
    means = np.nansum(effect, axis=0) / np.maximum(counts, 1)
    return int(np.where(counts > 0, means, -np.inf).argmax())
