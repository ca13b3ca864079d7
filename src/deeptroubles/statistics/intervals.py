"""Intervals for shares and means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Interval(NamedTuple):
    """A point estimate with its interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval; without trials the value is NaN and the interval [0, 1].

    References:
        E. B. Wilson: Probable Inference, the Law of Succession, and Statistical Inference, JASA 1927.
    """
    return _wilson(float(successes), trials, level)


def mean_share(shares: NDArray[Any], level: float = 0.95) -> Interval:
    """The mean of shares in [0, 1], one per image, with an interval over images.

    It is Wilson's interval for the sum of shares as the number of successes. Shares in [0, 1] vary at most as much as
    binary outcomes, so it is conservative, and unlike the bootstrap's it has a positive width when all shares are 0.
    """
    return _wilson(float(np.sum(shares)), len(shares), level)


def mean(values: NDArray[Any], level: float = 0.95) -> Interval:
    """The mean of numbers of any range, with Student's interval; infinite for fewer than two numbers."""
    center = float(np.mean(values)) if len(values) else float("nan")
    if len(values) < 2:
        return Interval(center, float("-inf"), float("inf"))
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(center, center - half, center + half)


def mean_difference(differences: NDArray[Any], level: float = 0.95) -> Interval:
    """The mean of differences in [-1, 1], one per image: of shares, probabilities, or correct predictions.

    Increases and decreases are two shares with Wilson's intervals, whose difference takes their correlation into
    account (no image has both). So the interval has a positive width even when no image changes.

    References:
        G. Y. Zou, A. Donner: Construction of confidence limits about effect measures, Statistics in Medicine 2008,
        equation 14 (square-and-add); R. G. Newcombe: Improved confidence intervals for the difference between binomial
        proportions based on paired data, Statistics in Medicine 1998.
    """
    values = np.asarray(differences, dtype=np.float64)
    up, down = (mean_share(np.clip(sign * values, 0, 1), level) for sign in (1, -1))
    if not len(values):
        return Interval(float("nan"), -1.0, 1.0)
    scale = np.sqrt((1 - up.value) * (1 - down.value))
    correlation = -float(np.sqrt(up.value * down.value)) / scale if scale > 0 else 0.0
    below, above = up.value - up.low, down.high - down.value
    low = float(np.sqrt(below**2 - 2 * correlation * below * above + above**2))
    below, above = up.high - up.value, down.value - down.low
    high = float(np.sqrt(below**2 - 2 * correlation * below * above + above**2))
    value = up.value - down.value
    return Interval(value, max(-1.0, value - low), min(1.0, value + high))


def share_difference(first: Interval, second: Interval) -> Interval:
    """The first share minus the second, from independent samples.

    References:
        R. G. Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine
        1998, method 10 (square-and-add).
    """
    value = first.value - second.value
    below = float(np.hypot(first.value - first.low, second.high - second.value))
    above = float(np.hypot(first.high - first.value, second.value - second.low))
    return Interval(value, max(-1.0, value - below), min(1.0, value + above))


def share_ratio(first: Interval, second: Interval) -> Interval:
    """The first share over the second, from independent samples; NaN where both are 0, infinite where the second is.

    References:
        A. Donner, G. Y. Zou: Closed-form confidence intervals for functions of the normal mean and standard deviation,
        Statistical Methods in Medical Research 2012, section 2 (MOVER-R).
    """
    if np.isnan(first.value) or np.isnan(second.value):
        return Interval(float("nan"), 0.0, float("inf"))
    product = first.value * second.value
    value = first.value / second.value if second.value > 0 else (float("inf") if first.value > 0 else float("nan"))
    low = _ratio_end(product, first.low * (2 * first.value - first.low), second.high, second.value, sign=-1)
    high = _ratio_end(product, first.high * (2 * first.value - first.high), second.low, second.value, sign=1)
    if np.isnan(value):
        return Interval(value, 0.0, float("inf"))
    return Interval(value, min(value, max(0.0, low)), max(value, high))


def _ratio_end(product: float, numerator: float, end: float, share: float, *, sign: int) -> float:
    """The end of a ratio whose denominator is a share with an end of its interval: the root of a quadratic."""
    denominator = end * (2 * share - end)
    root = float(np.sqrt(max(0.0, product**2 - numerator * denominator)))
    if denominator > 0:
        return (product + sign * root) / denominator
    if sign > 0:
        return float("inf")  # the denominator may be 0
    return numerator / (product + root) if product + root > 0 else 0.0


def _wilson(successes: float, trials: int, level: float) -> Interval:
    if trials == 0:
        return Interval(float("nan"), 0.0, 1.0)
    z = float(stats.norm.ppf((1 + level) / 2))
    p, center_weight = successes / trials, 1 + z * z / trials
    center = (p + z * z / (2 * trials)) / center_weight
    half = z / center_weight * float(np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)))
    low, high = max(0.0, center - half), min(1.0, center + half)
    return Interval(p, min(p, low), max(p, high))  # at 0 and 1 rounding can exclude p
