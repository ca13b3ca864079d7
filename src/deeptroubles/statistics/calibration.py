"""Calibration: does a confidence of 80 % mean right 8 times in 10?"""

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
    """The expected calibration error, and what is left of it when chance is taken off.

    Attributes:
        plain: The expected calibration error as everybody computes it; never 0 on a finite sample.
        floor: The mean error that a perfectly calibrated classifier with these confidences would show on these few.
        corrected: `plain` minus `floor` (at least 0), with a bootstrap interval that is corrected likewise.
    """

    plain: float
    floor: float
    corrected: Interval


def reliability(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> NDArray[np.float64]:
    """Per non-empty bin: mean confidence, share correct, number of images. B x 3."""
    which = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    sums = [np.bincount(which, weights=w, minlength=bins) for w in (confidence, correct)]
    full = counts > 0
    return np.stack([sums[0][full] / counts[full], sums[1][full] / counts[full], counts[full]], axis=1)


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> float:
    """Mean over images of |mean confidence - share correct| of their bin.

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
    """The expected calibration error, corrected for the part that chance alone gives.

    On few images a perfect classifier looks miscalibrated, because |confidence - share correct| of a bin is never
    negative. The floor is that error's mean under consistency resampling: answers drawn anew from the confidences
    themselves (Bröcker & Smith 2007; Vaicenavicius et al. 2019). Resampling images adds the same bias a second time,
    so the basic bootstrap interval, reflected at the plain error, takes it off; its lower end is no higher than what
    the plain error has above the largest error that chance would give at this level.

    Args:
        confidence: N, in [0, 1].
        correct: N, 0 or 1.
        seed: Seed of the resampling.
        resamples: How many resamples.
        level: Of the interval.
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
