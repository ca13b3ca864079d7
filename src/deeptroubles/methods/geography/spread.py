"""How far images are from being spread over countries as people are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.statistics.intervals import Interval


@dataclass(frozen=True)
class Spread:
    """The distance of a sample of countries from a reference.

    Attributes:
        distance: Total variation: the share of the images that would have to come from elsewhere. On few images it is
            too high (`chance`); the interval is for the distance of what the images were drawn from.
        chance: The distance that as many images show on average that were drawn as the reference says.
        effective: The effective number of countries of the images.
        effective_by_chance: The same of as many images drawn as the reference says, on average.
    """

    distance: Interval
    chance: float
    effective: float
    effective_by_chance: float


def total_variation(shares: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Half of the sum of absolute differences: the share that would have to move. In [0, 1].

    Args:
        shares: ... x K, sums to 1.
        reference: K, sums to 1.
    """
    return np.asarray(np.abs(shares - reference).sum(-1) / 2, dtype=np.float64)


def effective_number(shares: NDArray[Any]) -> NDArray[np.float64]:
    """How many equally common countries have the same entropy: exp(H). From 1 to K.

    Args:
        shares: ... x K, sums to 1.

    References:
        M. O. Hill: Diversity and evenness, Ecology 1973 (of order 1).
    """
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray(np.exp(-(shares * logs).sum(-1)), dtype=np.float64)


def log2_ratio(share: Interval, reference: float) -> Interval:
    """How many doublings a share is above (or below 0: under) its reference; -inf for a share of 0."""
    with np.errstate(divide="ignore"):
        return Interval(*(float(np.log2(end / reference)) for end in share))


def spread(
    counts: NDArray[np.integer], reference: NDArray[Any], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Spread:
    """Compare how often countries occur with shares that they should have.

    The distance of a sample is on average larger than that of what it was drawn from (it is convex in the shares), so
    its interval is not symmetric. Below, the triangle inequality holds: a sample is farther from the reference than
    its source is by no more than it is from its source. How far that is a parametric bootstrap tells, of the sample
    and of the reference, and the larger counts: the source may have countries of which the sample has none. So the
    lower end is 0 unless hardly any images drawn from the reference are as far away. Above, the bootstrap tells by how
    much the distance falls by chance. It draws from the counts with z^2 images added that are spread as the reference
    (as Agresti and Coull do), so that it does not shrink to nothing when all are from one country.

    Args:
        counts: K, how many images are from each country; at least one image.
        reference: K, sums to 1.
        seed: Of the draws.
        resamples: How many samples are drawn.
        level: Of the interval.
    """
    rng = np.random.default_rng(seed)
    total, tail = int(counts.sum()), (1 - level) / 2
    shares = counts / total
    plain = float(total_variation(shares, reference))
    by_chance = rng.multinomial(total, reference, size=resamples) / total
    null = total_variation(by_chance, reference)
    added = float(stats.norm.ppf(1 - tail)) ** 2
    smooth = (counts + added * reference) / (total + added)
    drawn = rng.multinomial(total, smooth, size=resamples) / total
    around = total_variation(drawn, reference)
    astray = max(np.quantile(found, 1 - tail) for found in (total_variation(drawn, smooth), null))
    high = plain + float(around.mean() - np.quantile(around, tail))
    return Spread(
        Interval(plain, max(0.0, plain - float(astray)), min(1.0, high)),
        float(null.mean()),
        float(effective_number(shares)),
        float(effective_number(by_chance).mean()),
    )
