"""Error consistency: do two observers make their mistakes on the same images, more than by chance?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.errors import UsageError
from deeptroubles.statistics.intervals import Interval

RESAMPLES = 10_000


@dataclass(frozen=True)
class ErrorConsistency:
    """How far two observers (classifiers, or people) are right and wrong on the same images.

    Attributes:
        kappa: Cohen's kappa with its interval over images: 1 if both are right on exactly the same images, 0 if the
            agreement is that of independent observers, negative if they complement each other.
        observed: Share of the images on which both are right or both are wrong.
        expected: The same for independent observers of their accuracies.
        images: Number of images.
    """

    kappa: Interval
    observed: float
    expected: float
    images: int


def error_consistency(
    first: NDArray[Any], second: NDArray[Any], *, level: float = 0.95, seed: int = 0
) -> ErrorConsistency:
    """Cohen's kappa of two observers' correctness, image by image.

    Two accurate observers agree on most images by chance alone; kappa is the agreement beyond that, as a share of what
    was possible. The interval is the bootstrap's over images (percentiles of 10,000 resamples).

    Args:
        first: Whether the first observer is right on each image, N booleans.
        second: The same for the second observer.
        level: Level of the interval.
        seed: Seed of the resampling.

    Returns:
        Kappa with its interval, observed and expected agreement. Kappa is NaN, with the interval [-1, 1], where both
        observers are right on all images or both are wrong on all: then chance alone gives full agreement.

    Raises:
        UsageError: The observers have not seen the same number of images, or there are none.

    References:
        R. Geirhos, K. Meding, F. A. Wichmann: Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and humans
        by measuring error consistency, NeurIPS 2020, equations 1 to 3; J. Cohen: A coefficient of agreement for nominal
        scales, Educational and Psychological Measurement 1960.
    """
    right = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if right[0].ndim != 1 or right[0].shape != right[1].shape or not len(right[0]):
        shapes = " and ".join(str(each.shape) for each in right)
        raise UsageError(f"Error consistency needs one boolean per image from both observers; there are {shapes}.")
    count = len(right[0])
    counts = np.bincount(right[0] * 2 + right[1], minlength=4)  # both wrong, only the second, only the first, both
    kappa, observed, expected = (float(each[0]) for each in _kappa(counts[None]))
    resampled = _kappa(np.random.default_rng(seed).multinomial(count, counts / count, size=RESAMPLES))[0]
    defined = resampled[np.isfinite(resampled)]
    low, high = -1.0, 1.0
    if np.isfinite(kappa) and len(defined):
        low, high = (float(each) for each in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    return ErrorConsistency(Interval(kappa, low, high), observed, expected, count)


def _kappa(counts: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Kappa, observed and expected agreement of tables (R x 4): both wrong, second right, first right, both right."""
    shares = counts / counts.sum(1, keepdims=True)
    first, second = shares[:, 2] + shares[:, 3], shares[:, 1] + shares[:, 3]
    observed = shares[:, 0] + shares[:, 3]
    expected = first * second + (1 - first) * (1 - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)
    return kappa, observed, expected
