"""anytime_mean: coverage at every stopping time, direct products, and widths."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest
from scipy import stats

from deeptroubles.statistics.anytime_mean import BETS, STAKES, _highest_capital, anytime_mean, anytime_means
from deeptroubles.statistics.intervals import mean_share

RUNS, LENGTH, ALPHA = 1000, 1000, 0.05
MOST = stats.binom.ppf(0.999, RUNS, ALPHA)


def mixture(random, shape):
    return np.where(random.random(shape) < 0.7, 0.0, np.where(random.random(shape) < 0.5, 1.0, random.random(shape)))


DISTRIBUTIONS = {
    "rare": (0.02, lambda random, shape: random.random(shape) < 0.02),
    "half": (0.5, lambda random, shape: random.random(shape) < 0.5),
    "uniform": (0.5, lambda random, shape: random.random(shape)),
    "skewed": (1 / 21, lambda random, shape: random.beta(1, 20, shape)),
    "extremes": (0.9, lambda random, shape: random.beta(0.09, 0.01, shape)),
    "concentrated": (0.5, lambda random, shape: random.beta(50, 50, shape)),
    "mixture": (0.225, mixture),
}


def left(values, mean, alpha=ALPHA):
    return max(_highest_capital(values / mean - 1), _highest_capital((1 - values) / (1 - mean) - 1)) >= 2 / alpha


def direct_capital(values, mean, population=None):
    """The highest capital of bets on values above the mean, by its definition."""
    highest = 0.0
    for count in range(1, len(values) + 1):
        capital = 0.0
        for bet, stake in zip(BETS, STAKES, strict=True):
            one = 1.0
            for i, x in enumerate(values[:count]):
                expected = mean if population is None else (population * mean - sum(values[:i])) / (population - i)
                one *= 1 + bet * (x - expected) / expected
            capital += stake * one
        highest = max(highest, capital)
    return highest


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_true_mean_rarely_ever_leaves(name):
    mean, draw = DISTRIBUTIONS[name]
    values = draw(np.random.default_rng(0), (RUNS, LENGTH)).astype(float)
    assert sum(left(row, mean) for row in values) <= MOST


@pytest.mark.parametrize("name", ["rare", "skewed", "mixture"])
def test_the_mean_of_the_images_rarely_ever_leaves(name):
    random = np.random.default_rng(0)
    images = DISTRIBUTIONS[name][1](random, 300).astype(float)
    low, high = -2.0, 3.0
    outside = 0
    for _ in range(200):
        values = low + random.permutation(images)[:250] * (high - low)
        interval = anytime_mean(values, low, high, population=300)
        outside += not interval.low <= low + images.mean() * (high - low) <= interval.high
    assert outside <= stats.binom.ppf(0.999, 200, ALPHA)


@pytest.mark.parametrize("population", [None, 30])
@pytest.mark.parametrize("seed", range(3))
def test_ends_by_direct_products(population, seed):
    values = np.random.default_rng(seed).beta(0.5, 1.5, 20)
    interval = anytime_mean(values, population=population)
    for x, end in ((values, interval.low), (1 - values, 1 - interval.high)):
        assert direct_capital(x, end + 2e-6, population) < 40 * (1 + 1e-9)
        feasible = 0 if population is None else x.sum() / population
        assert end <= feasible + 1e-6 or direct_capital(x, end - 2e-6, population) >= 40


def test_the_mean_capital_is_one_over_all_orders():
    images = np.array([0.0, 0.1, 0.35, 0.9, 1.0])
    for bet in BETS:
        capitals = []
        for order in map(np.array, permutations(images)):
            expected = (images.sum() - (np.cumsum(order) - order)) / (5 - np.arange(5))
            capitals.append(np.cumprod(1 + bet * (order[:4] / expected[:4] - 1)))
        np.testing.assert_allclose(np.mean(capitals, 0), 1)


def test_the_mean_capital_is_one_for_independent_values():
    capitals = [
        np.prod(1 + BETS[:, None] * (np.array(values) / 0.4 - 1), 1) for values in product([0, 0.2, 1], repeat=5)
    ]
    np.testing.assert_allclose(np.mean(capitals, 0), 1)


def test_the_stakes_are_the_whole_capital():
    assert STAKES.sum() == pytest.approx(1)
    assert BETS.max() == 1


def test_an_infinite_capital_that_is_lost_still_excludes():
    values = np.r_[np.ones(5000), 0.0]
    assert _highest_capital(values / 1e-6 - 1) == np.inf


def test_columns_hold_together():
    values = np.random.default_rng(1).random((50, 4)) < [0.0, 0.1, 0.5, 1.0]
    for column, interval in zip(values.T, anytime_means(values, level=0.9), strict=True):
        assert interval == anytime_mean(column, level=1 - 0.1 / 4)


def test_other_ranges_are_scaled():
    values = np.random.default_rng(2).random(80)
    np.testing.assert_allclose(anytime_mean(2 * values - 1, -1, 1), 2 * np.array(anytime_mean(values)) - 1)


@pytest.mark.parametrize("population", [None, 60])
def test_is_nested_and_contains_the_mean(population):
    values = np.random.default_rng(3).beta(0.3, 2, 60)
    steps = [anytime_mean(values[:n], population=population) for n in range(1, 61)]
    for n, (now, after) in enumerate(pairwise(steps), start=1):
        assert now.value == pytest.approx(values[:n].mean())
        assert now.low <= now.value <= now.high
        assert after.low >= min(now.low, after.value) - 1e-5
        assert after.high <= max(now.high, after.value) + 1e-5


@pytest.mark.parametrize("images", [np.zeros(40), np.ones(40), np.random.default_rng(4).random(40)])
def test_is_exact_when_all_images_were_seen(images):
    np.testing.assert_allclose(anytime_mean(images, population=40), images.mean(), atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_values_never_leave(value):
    widths = []
    for count in (1, 30, 3000, 30000):
        interval = anytime_mean(np.full(count, value))
        assert interval.low <= value <= interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.35
    assert widths[3] < 0.001


def test_values_of_small_spread_have_narrow_intervals():
    values = np.random.default_rng(5).beta(50, 50, 1000)
    ours, by_range = anytime_mean(values), mean_share(values)
    assert ours.high - ours.low < 0.4 * (by_range.high - by_range.low)


def test_nothing_seen():
    assert np.isnan(anytime_mean(np.array([])).value)
    assert anytime_mean(np.array([]), -1, 1)[1:] == (-1, 1)
    assert anytime_means(np.zeros((5, 0))) == []


@pytest.mark.parametrize("values", [[0.5, 1.01], [-0.1], [np.nan]])
def test_refuses_values_outside_the_range(values):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        anytime_mean(np.array(values))


def test_rounding_in_single_precision_is_taken():
    assert anytime_mean(np.full(50, np.float32(1) + np.float32(2e-7)))[0] == 1


def test_refuses_more_values_than_images():
    with pytest.raises(ValueError, match="only 2 images"):
        anytime_mean(np.zeros(3), population=2)
