"""The measures of AI Fairness 360 for one class against the rest, each with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval, share_difference, share_ratio, wilson

Flags = NDArray[np.bool_]
DRAWS = 4000
DIFFERENCE_BAND, RATIO_BAND = (-0.1, 0.1), (0.8, 1.25)
"""What AI Fairness 360 calls fair, of a difference and of a ratio."""


@dataclass(frozen=True)
class Rates:
    """The rates of one group, for one class against the rest.

    Attributes:
        images: How many images there are.
        positives: How many are of the class.
        selection: The share predicted as the class.
        true_positive: The share of the positives predicted as the class.
        false_positive: The share of the others predicted as the class.
        accuracy: The share predicted correctly.
    """

    images: int
    positives: int
    selection: Interval
    true_positive: Interval
    false_positive: Interval
    accuracy: Interval


@dataclass(frozen=True)
class Measure:
    """A measure of fairness.

    Attributes:
        name: Its name.
        estimate: Its value and interval; NaN and the widest possible where there are no images.
        ideal: Its value without any difference.
        band: What AI Fairness 360 calls fair; None where it names no band.
    """

    name: str
    estimate: Interval
    ideal: float
    band: tuple[float, float] | None


def rates(predicted: Flags, positive: Flags) -> Rates:
    """The rates of one group, with Wilson's intervals.

    Args:
        predicted: N, whether the class is predicted.
        positive: N, whether the image is of the class.
    """

    def share(hits: Flags) -> Interval:
        return wilson(int(hits.sum()), len(hits))

    return Rates(
        images=len(positive),
        positives=int(positive.sum()),
        selection=share(predicted),
        true_positive=share(predicted[positive]),
        false_positive=share(predicted[~positive]),
        accuracy=share(predicted == positive),
    )


def compared(group: Rates, reference: Rates) -> tuple[Measure, ...]:
    """The measures of a group against a reference group.

    Statistical parity difference: selection rates. Equal opportunity difference: true-positive rates. Average odds
    difference: the mean of the differences of true- and false-positive rates. All are group minus reference; disparate
    impact is the ratio of the selection rates. Intervals of differences are Newcombe's, of the average square-and-add
    of two independent differences, of the ratio MOVER-R.

    Args:
        group: The rates of the group (`unprivileged` in AI Fairness 360).
        reference: The rates of the group that it is compared with (`privileged`).

    References:
        R. Bellamy et al.: AI Fairness 360, 2018.
        R. G. Newcombe: Interval estimation for the difference between independent proportions, 1998, method 10.
    """
    opportunity = share_difference(group.true_positive, reference.true_positive)
    false = share_difference(group.false_positive, reference.false_positive)
    return (
        Measure(
            "statistical parity difference", share_difference(group.selection, reference.selection), 0, DIFFERENCE_BAND
        ),
        Measure("equal opportunity difference", opportunity, 0, DIFFERENCE_BAND),
        Measure("average odds difference", _average(opportunity, false), 0, DIFFERENCE_BAND),
        Measure("disparate impact", share_ratio(group.selection, reference.selection), 1, RATIO_BAND),
    )


def theil_index(predicted: Flags, positive: Flags, *, seed: int = 0) -> Measure:
    """How unequally predictions benefit images: the Theil index of the benefits.

    An image's benefit is 2 when it is wrongly predicted as the class, 1 when it is predicted correctly, and 0 when the
    class is missed. 0: all have the same. The interval is that of the three shares, drawn with Jeffreys' prior, so that
    it has a width where all predictions are correct.

    Args:
        predicted: N, whether the class is predicted.
        positive: N, whether the image is of the class.
        seed: Seed of the draws.

    References:
        T. Speicher et al.: A unified approach to quantifying algorithmic unfairness, KDD 2018 (generalized entropy with
        alpha = 1).
    """
    if not len(positive):
        return Measure("Theil index", Interval(float("nan"), 0.0, float("inf")), 0, None)
    counts = np.array([(~predicted & positive).sum(), (predicted == positive).sum(), (predicted & ~positive).sum()])
    value = float(_theil(counts / counts.sum()))
    drawn = _theil(np.random.default_rng(seed).dirichlet(counts + 0.5, DRAWS))
    low, high = (float(np.quantile(drawn, q)) for q in (0.025, 0.975))
    return Measure("Theil index", Interval(value, min(value, low), max(value, high)), 0, None)


def _average(first: Interval, second: Interval) -> Interval:
    value = (first.value + second.value) / 2
    if np.isnan(value):
        return Interval(value, -1.0, 1.0)
    below = float(np.hypot(first.value - first.low, second.value - second.low)) / 2
    above = float(np.hypot(first.high - first.value, second.high - second.value)) / 2
    return Interval(value, max(-1.0, value - below), min(1.0, value + above))


def _theil(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Theil index of the shares (... x 3) with a benefit of 0, 1 and 2."""
    double, total = shares[..., 2], shares[..., 1] + 2 * shares[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        index = 2 * np.log(2) * double / total - np.log(total)
    return np.where(total > 0, np.maximum(index, 0), 0.0)
