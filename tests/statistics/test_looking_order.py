from __future__ import annotations

import numpy as np
import pytest

from deeptroubles.statistics.anytime_mean import anytime_mean
from deeptroubles.statistics.anytime_share import anytime_share
from deeptroubles.statistics.intervals import wilson
from deeptroubles.statistics.looking_order import looking_order


def test_stopping_as_soon_as_a_mean_is_excluded_seldom_excludes_the_true_one():
    """Someone looks after every value and stops at an exclusion; the ordinary interval fails so."""
    random, ordinary, anytime = np.random.default_rng(1), 0, 0
    for _ in range(100):
        values = (random.random(300) < 0.1).astype(float)
        sums = np.cumsum(values)
        ordinary += any(
            not wilson(int(sums[n]), n + 1).low <= 0.1 <= wilson(int(sums[n]), n + 1).high for n in range(9, 300)
        )
        interval = anytime_share(values)
        anytime += not interval.low <= 0.1 <= interval.high
    assert anytime <= 11
    assert ordinary > 15


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
