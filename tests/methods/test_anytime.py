from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from deeptroubles.statistics.anytime import GRID, anytime_mean
from deeptroubles.statistics.intervals import wilson
from deeptroubles.statistics.looking_order import looking_order

RUNS, LOOKS = 200, 400
DRAWS = {
    "never": (lambda r, n: np.zeros(n), 0.0),
    "rare": (lambda r, n: (r.random(n) < 0.03).astype(float), 0.03),
    "half": (lambda r, n: (r.random(n) < 0.5).astype(float), 0.5),
    "always": (lambda r, n: np.ones(n), 1.0),
    "skewed": (lambda r, n: r.beta(0.3, 2, n), 0.3 / 2.3),
    "two kinds": (lambda r, n: np.where(r.random(n) < 0.2, r.uniform(0.5, 1, n), 0.05), 0.2 * 0.75 + 0.8 * 0.05),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_mean_lies_in_the_intervals_of_all_prefixes(name):
    """The interval is the intersection of those of all prefixes, so that it misses if one of them does."""
    draw, mean = DRAWS[name]
    random = np.random.default_rng(0)
    intervals = [anytime_mean(draw(random, LOOKS)) for _ in range(RUNS)]
    missed = sum(not i.low <= mean <= i.high for i in intervals)
    assert missed <= 0.05 * RUNS + 3 * np.sqrt(RUNS * 0.05 * 0.95)


def test_stopping_as_soon_as_a_mean_is_excluded_seldom_excludes_the_true_one():
    """Someone who looks after every value and stops at an exclusion; the ordinary interval fails in this way."""
    random, ordinary, anytime = np.random.default_rng(1), 0, 0
    for _ in range(100):
        values = (random.random(300) < 0.1).astype(float)
        sums = np.cumsum(values)
        ordinary += any(
            not wilson(int(sums[n]), n + 1).low <= 0.1 <= wilson(int(sums[n]), n + 1).high for n in range(9, 300)
        )
        interval = anytime_mean(values)
        anytime += not interval.low <= 0.1 <= interval.high
    assert anytime <= 11
    assert ordinary > 15


def test_it_is_the_product_of_bets():
    """A slow loop over means and values, by the definition."""
    values, alpha = np.random.default_rng(2).beta(1, 3, 40), 0.1

    def rejected(m, flipped):
        x, owned = (1 - values if flipped else values), 1.0
        variance, mean, total, squares = 0.25, 0.5, 0.0, 0.0
        for t in range(1, len(x) + 1):
            bet = np.sqrt(2 * np.log(2 / alpha) / (variance * t * np.log(t + 1)))
            owned *= 1 + min(bet, 0.5 / m if m else np.inf) * (x[t - 1] - m)
            if owned >= 2 / alpha:
                return True
            total += x[t - 1]
            mean = (0.5 + total) / (t + 1)
            squares += (x[t - 1] - mean) ** 2
            variance = (0.25 + squares) / (t + 1)
        return False

    found = anytime_mean(values, level=1 - alpha)
    grid = np.linspace(0, 1, GRID + 1)
    low = max(m for m in grid[:600] if rejected(m, flipped=False))
    high = 1 - max(m for m in grid[:700] if rejected(m, flipped=True))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


def test_other_ranges_are_scaled():
    values = np.random.default_rng(3).uniform(-1, 1, 80)
    wide, unit = anytime_mean(values, low=-1), anytime_mean((values + 1) / 2)
    assert np.allclose(wide, [2 * end - 1 for end in unit])
    assert wide.value == pytest.approx(values.mean())


def test_more_values_never_widen_it_and_it_contains_the_mean():
    values = (np.random.default_rng(4).random(500) < 0.2).astype(float)
    intervals = [anytime_mean(values[:n]) for n in (1, 5, 30, 100, 101, 500)]
    assert all(i.low <= i.value <= i.high for i in intervals)
    assert all(a.high - a.low >= b.high - b.low - 0.02 for a, b in pairwise(intervals))
    assert intervals[0].high - intervals[0].low > 0.9
    assert np.isnan(anytime_mean(values[:0]).value)
    assert anytime_mean(values[:0])[1:] == (0.0, 1.0)


def test_it_costs_less_than_twice_the_width_of_the_ordinary_interval():
    values = (np.random.default_rng(5).random(200) < 0.1).astype(float)
    found, ordinary = anytime_mean(values), wilson(int(values.sum()), 200)
    assert ordinary.high - ordinary.low < found.high - found.low < 2 * (ordinary.high - ordinary.low)


@pytest.mark.parametrize(
    "classes", [np.repeat([0, 1], [70, 30]), np.repeat([-1, 3, 5, 9], [11, 200, 40, 1]), np.zeros(5, int)]
)
def test_every_prefix_has_each_class_in_proportion(classes):
    order = looking_order(classes, seed=1)
    assert sorted(order.tolist()) == list(range(len(classes)))
    kinds = np.unique(classes)
    for k in kinds:
        ahead = np.cumsum(classes[order] == k) - np.arange(1, len(classes) + 1) * (classes == k).mean()
        assert np.abs(ahead).max() < max(1, len(kinds) - 1)
    assert not np.array_equal(order, looking_order(classes, seed=2)) or len(kinds) == len(classes)


def test_in_this_order_the_interval_is_too_wide_rather_than_too_narrow():
    """Three classes that differ in what is measured, as far as they can."""
    random, classes = np.random.default_rng(6), np.repeat([0, 1, 2], [120, 60, 20])
    missed = 0
    for seed in range(150):
        values = (random.random(200) < np.array([0.05, 0.5, 1.0])[classes]).astype(float)
        interval = anytime_mean(values[looking_order(classes, seed)])
        missed += not interval.low <= 0.05 * 0.6 + 0.5 * 0.3 + 0.1 <= interval.high
    assert missed <= 7
