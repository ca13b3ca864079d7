"""looking_order: fair turns, no favorites, and intervals that stay valid."""

import numpy as np
import pytest
from scipy import stats

from deeptroubles.statistics.anytime_mean import anytime_mean
from deeptroubles.statistics.anytime_share import anytime_share
from deeptroubles.statistics.looking_order import looking_order

TARGETS = {
    "even": np.arange(100) % 10,
    "uneven": np.repeat([0, 1, 2, 3], [70, 20, 9, 1]),
    "unlabelled": np.repeat([-1, 0, 5], [33, 40, 17]),
    "many classes": np.repeat(np.arange(120), np.random.default_rng(0).integers(1, 6, 120)),
    "one class": np.zeros(13, int),
    "a class each": np.arange(17),
    "skewed": np.random.default_rng(1).geometric(0.2, 500),
}


def counts_of(classes):
    """The number of images of each class among the first n, n x classes."""
    return np.cumsum(classes[:, None] == np.unique(classes), axis=0)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seed", range(3))
def test_is_a_permutation_with_every_class_in_turn(name, seed):
    targets = np.random.default_rng(seed).permutation(TARGETS[name])
    order = looking_order(targets, seed)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(targets)))
    counts = counts_of(targets[order])
    assert np.abs(counts - np.outer(np.arange(1, len(targets) + 1), counts[-1] / len(targets))).max() < 2


def test_two_classes_are_within_one_image_of_their_shares():
    targets = np.repeat([0, 1], [31, 12])
    for seed in range(50):
        counts = counts_of(targets[looking_order(targets, seed)])
        assert np.abs(counts - np.outer(np.arange(1, 44), [31 / 43, 12 / 43])).max() < 1


@pytest.mark.parametrize("targets", [np.repeat([0, 1, 2], [7, 2, 1]), np.repeat([-1, 3], [1, 5])])
def test_every_image_is_equally_likely_at_every_position(targets):
    runs, count = 3000, len(targets)
    orders = np.array([looking_order(targets, seed) for seed in range(runs)])
    times = np.array([np.bincount(column, minlength=count) for column in orders.T])
    assert stats.chi2.sf(((times - runs / count) ** 2).sum() / (runs / count), (count - 1) ** 2) > 1e-3


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [([250, 150, 100], [0.02, 0.1, 0.4]), ([450, 50], [0.0, 1.0]), ([4] * 75 + [1] * 200, [0.0] * 75 + [1.0] * 200)],
)
@pytest.mark.parametrize("measure", [anytime_share, anytime_mean])
def test_intervals_for_independent_values_are_conservative(measure, sizes, shares):
    random, runs, outside = np.random.default_rng(0), 100, 0
    targets = np.repeat(np.arange(len(sizes)), sizes)
    wrong = random.random(len(targets)) < np.array(shares)[targets]
    for seed in range(runs):
        _, low, high = measure(wrong[looking_order(targets, seed)][:400])
        outside += not low <= wrong.mean() <= high
    assert outside <= stats.binom.ppf(0.99, runs, 0.05)


def test_a_beginning_varies_less_than_in_a_plain_random_order():
    targets = np.repeat([0, 1], [300, 100])
    beginnings = [targets[looking_order(targets, seed)][:50].mean() for seed in range(200)]
    assert np.std(beginnings) < 0.3 * np.sqrt(0.25 * 0.75 / 50)


def test_the_seed_decides():
    targets = TARGETS["skewed"]
    np.testing.assert_array_equal(looking_order(targets, 7), looking_order(targets, 7))
    assert (looking_order(targets, 7) != looking_order(targets, 8)).any()
    assert len(looking_order(np.array([], int), 0)) == 0
