"""anytime_share: coverage at every stopping time, the slow definition, and widths."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from deeptroubles.statistics.anytime_share import anytime_share
from deeptroubles.statistics.intervals import wilson
from deeptroubles.statistics.robbins_mixture import log_capital

RUNS, LENGTH, ALPHA = 1000, 1000, 0.05
MOST = stats.binom.ppf(0.999, RUNS, ALPHA)


def leaves(outcomes, share, population=None):
    """In which runs the share ever leaves the sequence."""
    trials = np.broadcast_to(np.arange(1, outcomes.shape[1] + 1), outcomes.shape)
    capital = log_capital(np.cumsum(outcomes, 1), trials, np.full(outcomes.shape, share), population)
    ones, zeros = outcomes.sum(1), (~outcomes).sum(1)
    impossible = population is not None and (ones > share * population) | (zeros > (1 - share) * population)
    return (capital.max(1) >= -np.log(ALPHA)) | impossible


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 0.5, 0.95])
def test_the_true_share_rarely_ever_leaves(share):
    outcomes = np.random.default_rng(0).random((RUNS, LENGTH)) < share
    assert leaves(outcomes, share).sum() <= MOST


@pytest.mark.parametrize(("ones", "population"), [(1, 300), (15, 300), (150, 300), (285, 300), (100, 2000)])
def test_the_share_of_the_images_rarely_ever_leaves(ones, population):
    images = np.tile(np.arange(population) < ones, (RUNS, 1))
    outcomes = np.random.default_rng(0).permuted(images, axis=1)[:, :LENGTH]
    assert leaves(outcomes, ones / population, population).sum() <= MOST


@pytest.mark.parametrize("population", [None, 400])
def test_the_interval_leaves_out_what_ever_left(population):
    random = np.random.default_rng(1)
    outcomes = random.permuted(np.tile(np.arange(400) < 40, (60, 1)), axis=1)[:, :200]
    shares = (0.05, 0.08, 0.1, 0.15, 0.3)
    left = np.array([leaves(outcomes, share, population) for share in shares]).T
    for row, out in zip(outcomes, left, strict=True):
        value, low, high = anytime_share(row, population=population)
        widened = value in {low, high}  # to contain the value
        for share, expected in zip(shares, out, strict=True):
            assert expected == (not low < share < high) or (expected and widened)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_zero_and_one_never_leave(share):
    for trials in (1, 10, 1000):
        interval = anytime_share(np.full(trials, share))
        assert interval.low <= share <= interval.high
        assert interval.value == share


@pytest.mark.parametrize("population", [None, 60])
def test_is_nested_and_contains_the_share(population):
    outcomes = np.random.default_rng(2).permutation(np.arange(60) < 12)
    steps = [anytime_share(outcomes[:n], population=population) for n in range(1, 61)]
    for n, (now, after) in enumerate(pairwise(steps), start=1):
        assert now.value == outcomes[:n].mean()
        assert now.low <= now.value <= now.high
        assert after.low >= min(now.low, after.value) - 1e-12
        assert after.high <= max(now.high, after.value) + 1e-12


def test_is_exact_when_all_images_were_seen():
    outcomes = np.random.default_rng(3).random(97) < 0.2
    np.testing.assert_allclose(anytime_share(outcomes, population=97), outcomes.mean(), atol=1e-12)


def test_without_replacement_is_narrower():
    outcomes = np.random.default_rng(4).random(200) < 0.2
    whole, images = anytime_share(outcomes), anytime_share(outcomes, population=300)
    assert images.high - images.low < 0.8 * (whole.high - whole.low)


@pytest.mark.parametrize(
    ("share", "trials", "ratio"), [(0, 100, 1.0), (0, 1000, 0.9), (0.1, 100, 1.6), (0.5, 1000, 1.8)]
)
def test_width_beside_wilson(share, trials, ratio):
    ones = round(share * trials)
    outcomes = np.random.default_rng(5).permutation(np.arange(trials) < ones)
    ours, fixed = anytime_share(outcomes), wilson(ones, trials)
    assert ours.high - ours.low < ratio * (fixed.high - fixed.low)


def test_outcomes_in_a_wrong_order_give_a_wide_interval():
    interval = anytime_share(np.repeat([0, 1], 200))
    assert interval.low < 0.05
    assert interval.high >= 0.5


def test_nothing_seen():
    interval = anytime_share(np.array([]))
    assert np.isnan(interval.value)
    assert interval[1:] == (0, 1)


def test_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="anytime_mean"):
        anytime_share(np.array([0.5]))
    with pytest.raises(ValueError, match="only 2 images"):
        anytime_share(np.zeros(3), population=2)
