"""The class that something speaks for, chosen on other images than those on which it is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deeptroubles.recording import Recording


def own_classes(recording: Recording) -> NDArray[np.int64]:
    """The class of each image: the true one where it is known, otherwise the answer. N."""
    return np.where(recording.targets >= 0, recording.targets, recording.predicted)


def spoken_for(
    effect: NDArray[np.float64], own: NDArray[np.int64], seed: int, names: Sequence[str]
) -> tuple[str, NDArray[np.int64]]:
    """Choose the class whose probability rises most in images of other classes.

    The images are cut into two random halves, and each half takes the class that the other half chose. The mean effect
    in these classes is then not larger than the truth because the largest of many was looked for.

    Args:
        effect: By how much each class rises in each image, N x K.
        own: Each image's own class, N.
        seed: Of the halves.
        names: K class names.

    Returns:
        The name of the class that all images choose together, and the class in which each image is measured (N; -1
        where that is its own class).
    """
    half = np.random.default_rng(seed).permutation(len(own)) % 2
    elsewhere = np.where(own[:, None] == np.arange(effect.shape[1]), np.nan, effect)
    chosen = np.array([_highest(elsewhere[half != side]) for side in (0, 1)])[half]
    return names[_highest(elsewhere)], np.where(chosen == own, -1, chosen)


def _highest(effect: NDArray[np.float64]) -> int:
    counts = np.isfinite(effect).sum(0)
    means = np.nansum(effect, axis=0) / np.maximum(counts, 1)
    return int(np.where(counts > 0, means, -np.inf).argmax())
