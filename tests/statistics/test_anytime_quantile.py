"""anytime_quantile: coverage at every stopping time, with ties too, and the slow definition."""

import numpy as np
import pytest
from scipy import stats

from deeptroubles.statistics.anytime_quantile import anytime_quantile
from deeptroubles.statistics.robbins_mixture import log_capital

RUNS, LENGTH, ALPHA = 200, 500, 0.05
MOST = stats.binom.ppf(0.999, RUNS, ALPHA)
DISTRIBUTIONS = {
    "normal": (stats.norm(), lambda random: random.normal(size=LENGTH)),
    "skewed": (stats.lognorm(2), lambda random: random.lognormal(0, 2, LENGTH)),
    "ties": (stats.binom(3, 0.4), lambda random: random.binomial(3, 0.4, LENGTH)),
    "constant": (stats.randint(7, 8), lambda random: np.full(LENGTH, 7)),
}


def too_far(count, trials, probability, population=None):
    if population is not None:
        below = int(np.ceil(probability * population))
        if count > below or trials - count > population - below:
            return True
        probability = below / population
    return log_capital(*map(np.array, (count, trials, probability)), population) >= -np.log(ALPHA)


def slow(values, probability, population=None):
    """All candidates that no prefix excludes, by counting."""
    kept = []
    for candidate in values:
        counts = [
            ((values[:t] <= candidate).sum(), (values[:t] < candidate).sum(), t) for t in range(1, len(values) + 1)
        ]
        part = probability if population is None else np.ceil(probability * population) / population
        low = any(most <= part * t - 1e-9 and too_far(most, t, probability, population) for most, _, t in counts)
        high = any(least >= part * t + 1e-9 and too_far(least, t, probability, population) for _, least, t in counts)
        kept += [] if low or high else [candidate]
    return min(kept), max(kept)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_true_quantile_rarely_ever_leaves(name, probability):
    distribution, draw = DISTRIBUTIONS[name]
    random, truth = np.random.default_rng(0), distribution.ppf(probability)
    intervals = [anytime_quantile(draw(random), probability) for _ in range(RUNS)]
    assert sum(not low <= truth <= high for _, low, high in intervals) <= MOST


@pytest.mark.parametrize("probability", [0.25, 0.5])
def test_the_quantile_of_the_images_rarely_ever_leaves(probability):
    random = np.random.default_rng(1)
    images = np.round(random.normal(size=200), 1)
    truth = np.quantile(images, probability, method="inverted_cdf")
    intervals = [anytime_quantile(random.permutation(images)[:180], probability, population=200) for _ in range(RUNS)]
    assert sum(not low <= truth <= high for _, low, high in intervals) <= MOST


@pytest.mark.parametrize("population", [None, 100])
@pytest.mark.parametrize("probability", [0.3, 0.5])
@pytest.mark.parametrize("step", [1, 10])
def test_ends_by_counting(population, probability, step):
    values = np.floor(np.random.default_rng(2).permutation(100)[:60] / step)
    interval = anytime_quantile(values, probability, population=population)
    assert (interval.low, interval.high) == slow(values, probability, population)


def test_moves_with_the_values():
    values = np.random.default_rng(3).normal(size=150)
    up, down = anytime_quantile(np.exp(values)), anytime_quantile(-values[:-1])
    np.testing.assert_allclose(np.log(up), anytime_quantile(values))
    np.testing.assert_allclose([-down.high, -down.low], anytime_quantile(values[:-1])[1:])


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_value_and_exactness(probability):
    values = np.random.default_rng(4).normal(size=101)
    for count in (1, 2, 10, 101):
        expected = np.quantile(values[:count], probability, method="inverted_cdf")
        assert anytime_quantile(values[:count], probability).value == expected
        assert anytime_quantile(values[:count], probability, population=count) == (expected,) * 3


def test_an_end_is_infinite_while_values_are_few():
    assert anytime_quantile(np.arange(3.0))[1:] == (-np.inf, np.inf)
    interval = anytime_quantile(np.arange(20.0), 0.9)
    assert interval.low >= 0
    assert interval.high == np.inf
    assert np.isnan(anytime_quantile(np.array([])).value)


def test_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="between 0 and 1"):
        anytime_quantile(np.zeros(3), 1.0)
    with pytest.raises(ValueError, match="NaN"):
        anytime_quantile(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="only 2 images"):
        anytime_quantile(np.zeros(3), population=2)
