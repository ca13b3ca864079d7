"""The distance between the countries of images and those of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.statistics.intervals import Interval


@dataclass(frozen=True)
class DistributionDistance:
    """The distance of a sample of countries from a reference.

    Attributes:
        distance: Total variation: the share of the images that would have to come from elsewhere. On few images it is
            too high (`chance`); the interval is for the distance of the distribution that the images were drawn from.
        chance: The mean distance of as many images drawn from the reference.
        effective: The effective number of countries of the images.
        effective_by_chance: The mean effective number of as many images drawn from the reference.
    """

    distance: Interval
    chance: float
    effective: float
    effective_by_chance: float


def total_variation(shares: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Total variation distance: half of the sum of absolute differences, the share that would have to move. In [0, 1].

    Args:
        shares: ... x K, sums to 1.
        reference: K, sums to 1.
    """
    return np.asarray(np.abs(shares - reference).sum(-1) / 2, dtype=np.float64)


def effective_number(shares: NDArray[Any]) -> NDArray[np.float64]:
    """The number of equally common countries with the same entropy, exp(H). From 1 to K.

    Args:
        shares: ... x K, sums to 1.

    References:
        M. O. Hill: Diversity and evenness, Ecology 1973 (of order 1).
    """
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray(np.exp(-(shares * logs).sum(-1)), dtype=np.float64)


def log2_ratio(share: Interval, reference: float) -> Interval:
    """log2 of a share over its reference; -inf for a share of 0."""
    with np.errstate(divide="ignore"):
        return Interval(*(float(np.log2(end / reference)) for end in share))


def distribution_distance(
    counts: NDArray[np.integer], reference: NDArray[Any], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> DistributionDistance:
    """The total variation distance between counts of countries and reference shares, with an interval.

    The distance of a sample is on average larger than that of its source, the distribution it was drawn from (it is
    convex in the shares), so the interval is not symmetric. The lower end uses the triangle inequality: the source is
    at least as far from the reference as the sample, minus the distance between sample and source. A parametric
    bootstrap from the sample and one from the reference estimate the latter, and the larger estimate counts, because
    the source may have countries that the sample lacks. So the lower end is 0 unless images drawn from the reference
    are rarely as far away. The upper end adds by how much the distance falls by chance in a bootstrap. It draws from
    the counts with z^2 images of the reference added (as Agresti and Coull do), so that the interval has a width even
    if all images are from one country.

    Args:
        counts: K, the number of images from each country; at least one image.
        reference: K, sums to 1.
        seed: Seed of the draws.
        resamples: Number of samples drawn.
        level: Level of the interval.
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
    return DistributionDistance(
        Interval(plain, max(0.0, plain - float(astray)), min(1.0, high)),
        float(null.mean()),
        float(effective_number(shares)),
        float(effective_number(by_chance).mean()),
    )
