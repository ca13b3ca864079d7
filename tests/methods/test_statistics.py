from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deeptroubles.statistics.calibration import calibration_error, expected_calibration_error, reliability
from deeptroubles.statistics.intervals import mean_difference, mean_share, wilson

levels = st.floats(0.5, 0.999)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=60)
predictions = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


# --- intervals


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_values(successes, trials, low, high):
    """R. G. Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    found = wilson(successes, trials)
    assert found.value == successes / trials
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(trials=st.integers(1, 10_000), data=st.data(), level=levels)
def test_wilsons_ends_solve_the_score_equation(trials, data, level):
    successes = data.draw(st.integers(0, trials))
    value, low, high = wilson(successes, trials, level)
    assert 0 <= low <= value <= high <= 1
    assert low < high
    z = stats.norm.ppf((1 + level) / 2)
    for end in (low, high):
        assert math.isclose((value - end) ** 2, z**2 * end * (1 - end) / trials, rel_tol=1e-6, abs_tol=1e-12)


@given(trials=st.integers(1, 500), data=st.data(), level=levels)
@settings(deadline=None)
def test_wilson_equals_scipys(trials, data, level):
    successes = data.draw(st.integers(0, trials))
    theirs = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(wilson(successes, trials, level)[1:], (theirs.low, theirs.high), atol=1e-12)


@given(trials=st.integers(1, 300), data=st.data())
def test_wilson_is_symmetric_and_narrows_with_more_trials(trials, data):
    successes = data.draw(st.integers(0, trials))
    value, low, high = wilson(successes, trials)
    np.testing.assert_allclose(wilson(trials - successes, trials), (1 - value, 1 - high, 1 - low), atol=1e-12)
    more = wilson(4 * successes, 4 * trials)
    assert more.high - more.low < high - low


def test_without_trials_nothing_is_known():
    value, low, high = wilson(0, 0)
    assert math.isnan(value)
    assert (low, high) == (0, 1)
    assert mean_share(np.array([]))[1:] == (0, 1)


def test_wilson_covers_as_often_as_it_says():
    """Exactly, by summing over all outcomes: 95 % on average, and nowhere far below."""
    for trials in (10, 30, 100):
        truths = np.linspace(0.02, 0.98, 97)
        ends = np.array([wilson(k, trials)[1:] for k in range(trials + 1)])
        chances = stats.binom.pmf(np.arange(trials + 1)[:, None], trials, truths)
        covered = ((ends[:, :1] <= truths) & (truths <= ends[:, 1:]) * 1) * chances
        assert 0.945 <= covered.sum(0).mean() <= 0.965
        assert covered.sum(0).min() > 0.83


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=80), level=levels)
def test_the_mean_of_ones_and_zeros_is_a_share(outcomes, level):
    assert mean_share(np.array(outcomes, dtype=float), level) == wilson(sum(outcomes), len(outcomes), level)


@given(values=shares, level=levels)
def test_a_mean_lies_in_its_interval(values, level):
    value, low, high = mean_share(np.array(values), level)
    assert 0 <= low <= value <= high <= 1
    assert low < high
    assert math.isclose(value, np.mean(values), abs_tol=1e-12)


@pytest.mark.parametrize("shape", [(0.3, 0.7), (2, 5), (0.1, 2.0)])
def test_the_interval_of_a_mean_covers_at_least_as_often_as_it_says(shape):
    random = np.random.default_rng(0)
    truth = shape[0] / sum(shape)
    found = [mean_share(random.beta(*shape, 40)) for _ in range(500)]
    assert np.mean([low <= truth <= high for _, low, high in found]) >= 0.94


# --- calibration


def split(pairs):
    confidence, correct = zip(*pairs, strict=True)
    return np.array(confidence), np.array(correct, dtype=float)


@given(pairs=predictions, bins=st.integers(1, 20))
def test_the_calibration_error_equals_a_slow_loop(pairs, bins):
    held: dict[int, list[tuple[float, bool]]] = {}
    for confidence, correct in pairs:
        held.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, correct))
    expected = sum(abs(sum(c for c, _ in inside) - sum(r for _, r in inside)) for inside in held.values()) / len(pairs)
    assert math.isclose(expected_calibration_error(*split(pairs), bins), expected, abs_tol=1e-9)


@given(pairs=predictions, seed=st.integers(0, 100))
def test_neither_order_nor_repetition_matters_to_it(pairs, seed):
    confidence, correct = split(pairs)
    error = expected_calibration_error(confidence, correct)
    order = np.random.default_rng(seed).permutation(len(pairs))
    assert 0 <= error <= 1
    assert math.isclose(expected_calibration_error(confidence[order], correct[order]), error, abs_tol=1e-9)
    assert math.isclose(expected_calibration_error(np.tile(confidence, 3), np.tile(correct, 3)), error, abs_tol=1e-9)


@given(pairs=predictions, bins=st.integers(1, 20))
def test_finer_bins_never_find_less(pairs, bins):
    confidence, correct = split(pairs)
    total = abs(confidence.mean() - correct.mean())
    assert math.isclose(expected_calibration_error(confidence, correct, 1), total, abs_tol=1e-9)
    assert expected_calibration_error(confidence, correct, bins) >= total - 1e-9


@given(pairs=predictions)
def test_the_reliability_table_holds_every_prediction(pairs):
    confidence, correct = split(pairs)
    table = reliability(confidence, correct)
    assert table[:, 2].sum() == len(pairs)
    assert (table[:, 2] > 0).all()
    assert math.isclose((table[:, 1] * table[:, 2]).sum(), correct.sum(), abs_tol=1e-9)
    assert (np.diff(table[:, 0]) > 0).all()


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_the_worst():
    assert expected_calibration_error(np.ones(9), np.ones(9)) == 0
    assert expected_calibration_error(np.ones(9), np.zeros(9)) == 1


@given(pairs=predictions, seed=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_the_corrected_error_lies_in_its_interval(pairs, seed):
    confidence, correct = split(pairs)
    found = calibration_error(confidence, correct, seed=seed, resamples=50)
    assert found == calibration_error(confidence, correct, seed=seed, resamples=50)
    assert 0 <= found.corrected.low <= found.corrected.value <= found.corrected.high <= 1
    assert found.corrected.value == max(0.0, found.plain - found.floor)
    assert found.plain == expected_calibration_error(confidence, correct)


def test_another_seed_draws_other_resamples():
    confidence = np.random.default_rng(0).random(50)
    correct = (confidence > 0.4).astype(float)
    assert calibration_error(confidence, correct, seed=0, resamples=50) != calibration_error(
        confidence, correct, seed=1, resamples=50
    )


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40))
def test_the_interval_of_a_difference_equals_newcombes_written_out(values):
    """Square-and-add for the shares of rises and falls, with the correlation of a multinomial."""
    n, up, down = len(values), values.count(1.0), values.count(-1.0)
    first, second = wilson(up, n), wilson(down, n)
    p, q = up / n, down / n
    r = 0.0 if p in (0, 1) or q in (0, 1) else -np.sqrt(p * q / ((1 - p) * (1 - q)))
    below = np.sqrt((p - first.low) ** 2 - 2 * r * (p - first.low) * (second.high - q) + (second.high - q) ** 2)
    above = np.sqrt((first.high - p) ** 2 - 2 * r * (first.high - p) * (q - second.low) + (q - second.low) ** 2)
    found = mean_difference(np.array(values))
    assert np.allclose(found, (p - q, max(-1, p - q - below), min(1, p - q + above)))
    mirrored = mean_difference(-np.array(values))
    assert np.allclose(found, (-mirrored.value, -mirrored.high, -mirrored.low))


@pytest.mark.parametrize("chances", [(0.5, 0.3, 0.2), (0.9, 0.1, 0.0), (0.1, 0.5, 0.4)])
def test_the_interval_of_a_difference_covers_at_least_as_often_as_it_says(chances):
    random = np.random.default_rng(0)
    truth = chances[1] - chances[2]
    hits = 0
    for _ in range(600):
        found = mean_difference(random.choice([0.0, 1.0, -1.0], 40, p=chances))
        hits += found.low <= truth <= found.high
    assert hits / 600 > 0.93


def test_without_differences_nothing_is_known_and_no_difference_is_not_certain():
    assert mean_difference(np.zeros(0))[1:] == (-1.0, 1.0)
    found = mean_difference(np.zeros(20))
    assert found.value == 0
    assert found.high == -found.low == pytest.approx(np.hypot(wilson(0, 20).high, 0))
