"""Calibration: is a prediction with a confidence of 80% correct 8 times in 10?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval

BINS = 15
"""Equal-width confidence bins, as in Guo et al. 2017."""


@dataclass(frozen=True)
class CalibrationError:
    """The expected calibration error, plain and corrected for chance.

    Attributes:
        plain: The usual expected calibration error; never 0 on a finite sample.
        floor: The mean error of a perfectly calibrated classifier with these confidences on a sample of this size.
        corrected: `plain` minus `floor` (at least 0), with a corrected bootstrap interval.
    """

    plain: float
    floor: float
    corrected: Interval


def reliability(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> NDArray[np.float64]:
    """Mean confidence, share of correct predictions and number of images of each non-empty bin, B x 3."""
    which = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    sums = [np.bincount(which, weights=w, minlength=bins) for w in (confidence, correct)]
    full = counts > 0
    return np.stack([sums[0][full] / counts[full], sums[1][full] / counts[full], counts[full]], axis=1)


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> float:
    """The mean over images of |mean confidence - share of correct predictions| of their bin.

    Args:
        confidence: N, in [0, 1].
        correct: N, 0 or 1.
        bins: Number of equal-width bins.

    References:
        C. Guo et al.: On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    table = reliability(confidence, correct, bins)
    return float((np.abs(table[:, 0] - table[:, 1]) * table[:, 2]).sum() / table[:, 2].sum())


def calibration_error(
    confidence: NDArray[Any], correct: NDArray[Any], *, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> CalibrationError:
    """The expected calibration error, corrected for its bias on few images.

    On few images a perfectly calibrated classifier looks miscalibrated, because |confidence - share correct| of a bin
    is never negative. The floor is the mean of this error under consistency resampling: correct predictions drawn from
    the confidences themselves. Resampling images adds the same bias again, which the basic bootstrap interval,
    reflected at the plain error, removes. The lower end is at most the plain error minus the largest error by chance at
    this level.

    Args:
        confidence: N, in [0, 1].
        correct: N, 0 or 1.
        seed: Seed of the resampling.
        resamples: Number of resamples.
        level: Level of the interval.

    Returns:
        The error, plain and corrected.

    References:
        J. Bröcker, L. A. Smith: Increasing the reliability of reliability diagrams, Weather and Forecasting 2007.
        J. Vaicenavicius et al.: Evaluating model calibration in classification, AISTATS 2019.
    """
    random = np.random.default_rng(seed)
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    n = len(confidence)
    plain = expected_calibration_error(confidence, correct)
    chance = [expected_calibration_error(confidence, random.random(n) < confidence) for _ in range(resamples)]
    floor, ceiling = float(np.mean(chance)), float(np.quantile(chance, (1 + level) / 2))
    draws = random.integers(n, size=(resamples, n))
    again = [expected_calibration_error(confidence[d], correct[d]) for d in draws]
    upper, lower = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    value = max(0.0, plain - floor)
    low, high = max(0.0, min(value, 2 * plain - lower, plain - ceiling)), max(value, min(1.0, 2 * plain - upper))
    return CalibrationError(plain, floor, Interval(value, float(low), float(high)))
