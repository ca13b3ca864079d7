"""anytime_gap: coverage at every stopping time, fair comparisons, and widths."""

import numpy as np
import pytest
from scipy import stats

from deeptroubles.statistics.anytime_gap import anytime_gap
from deeptroubles.statistics.anytime_mean import anytime_mean

RUNS, ALPHA = 300, 0.05
MOST = stats.binom.ppf(0.999, RUNS, ALPHA)


@pytest.mark.parametrize("sizes", [(300, 300), (100, 730)])
@pytest.mark.parametrize(("one", "other"), [(0.0, 0.02), (0.1, 0.1), (0.9, 0.3)])
def test_the_true_gap_rarely_ever_leaves(sizes, one, other):
    random, outside = np.random.default_rng(0), 0
    for _ in range(RUNS):
        first, second = (random.random(size) < share for size, share in zip(sizes, (one, other), strict=True))
        interval = anytime_gap(first, second, sizes)
        outside += not interval.low <= one - other <= interval.high
    assert outside <= MOST


@pytest.mark.parametrize("sizes", [(1, 1), (3, 10), (50, 7)])
def test_compares_means_of_successive_values(sizes):
    random, ratio = np.random.default_rng(1), max(sizes) / min(sizes)
    few, many = random.random(20), random.random(int(20 * ratio))
    parts = [many[int(k * ratio + 1e-9) : int((k + 1) * ratio + 1e-9)].mean() for k in range(20)]
    differences = few - parts if sizes[0] <= sizes[1] else parts - few
    interval = anytime_gap(*((few, many) if sizes[0] <= sizes[1] else (many, few)), sizes)
    np.testing.assert_allclose(interval[1:], anytime_mean(differences, -1, 1)[1:], atol=1e-9)


def test_changes_sign_with_the_order_of_groups():
    random = np.random.default_rng(2)
    first, second = random.random(30), random.random(90)
    there, back = anytime_gap(first, second, (1, 3)), anytime_gap(second, first, (3, 1))
    np.testing.assert_allclose([-there.value, -there.high, -there.low], back, atol=1e-9)


def test_a_group_that_is_behind_costs_only_width():
    first, second = np.ones(10), np.zeros(500)
    assert anytime_gap(first, second)[1:] == anytime_gap(first, second[:10])[1:]


def test_is_narrower_than_two_intervals():
    random = np.random.default_rng(3)
    for size, ratio in ((100, 0.75), (500, 0.75)):
        first, second = (random.permutation(np.arange(size) < 0.3 * size) for _ in range(2))
        gap, apart = anytime_gap(first, second), [anytime_mean(x, level=0.975) for x in (first, second)]
        assert gap.high - gap.low < ratio * sum(x.high - x.low for x in apart)


def test_nothing_seen():
    for first, second in ((np.zeros(0), np.zeros(3)), (np.zeros(0), np.zeros(0))):
        interval = anytime_gap(first, second)
        assert np.isnan(interval.value)
        assert interval[1:] == (-1, 1)
    assert anytime_gap(np.ones(2), np.zeros(3), (1, 9)) == (1, -1, 1)


def test_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        anytime_gap(np.full(3, 1.2), np.zeros(3))
    with pytest.raises(ValueError, match="at least 1"):
        anytime_gap(np.zeros(3), np.zeros(3), (0, 3))
