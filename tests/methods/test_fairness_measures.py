"""The measures of AI Fairness 360: closed forms, a peer, identities, and how often intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, demographic_parity_ratio, equal_opportunity_difference

from deeptroubles.methods.fairness.measures import compared, rates, theil_index
from deeptroubles.statistics.intervals import Interval, share_ratio, wilson


def drawn(seed=0, count=400):
    random = np.random.default_rng(seed)
    return random.random(count) < 0.4, random.random(count) < 0.5, random.integers(2, size=count)


def measures(predicted, positive, groups):
    first, second = (rates(predicted[groups == g], positive[groups == g]) for g in (0, 1))
    return {m.name: m for m in compared(first, second)}


@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_fairlearn(seed):
    predicted, positive, groups = drawn(seed)
    found = measures(predicted, positive, groups)
    given = {"y_true": positive, "y_pred": predicted, "sensitive_features": groups}
    parity, opportunity = (
        abs(found[f"{n} difference"].estimate.value) for n in ("statistical parity", "equal opportunity")
    )
    ratio = found["disparate impact"].estimate.value
    assert parity == pytest.approx(demographic_parity_difference(**given))
    assert opportunity == pytest.approx(equal_opportunity_difference(**given))
    assert min(ratio, 1 / ratio) == pytest.approx(demographic_parity_ratio(**given))


def test_a_worked_example():
    """Of 10 and 20 images, counted by hand."""
    positive = np.array([1] * 4 + [0] * 6 + [1] * 10 + [0] * 10, dtype=bool)
    predicted = np.array([1, 1, 0, 0] + [1] + [0] * 5 + [1] * 8 + [0] * 2 + [1] * 2 + [0] * 8, dtype=bool)
    found = measures(predicted, positive, np.array([0] * 10 + [1] * 20))
    assert found["statistical parity difference"].estimate.value == pytest.approx(3 / 10 - 10 / 20)
    assert found["equal opportunity difference"].estimate.value == pytest.approx(2 / 4 - 8 / 10)
    assert found["average odds difference"].estimate.value == pytest.approx(((1 / 6 - 2 / 10) + (2 / 4 - 8 / 10)) / 2)
    assert found["disparate impact"].estimate.value == pytest.approx(0.3 / 0.5)


def test_the_theil_index_is_the_mean_over_images():
    predicted, positive, _ = drawn(count=300)
    benefit = predicted.astype(float) - positive + 1
    share = benefit / benefit.mean()
    slow = np.mean([0.0 if s == 0 else s * np.log(s) for s in share])
    found = theil_index(predicted, positive).estimate
    assert found.value == pytest.approx(slow)
    assert found.low < found.value < found.high


def test_perfect_predictions_have_no_gap_but_an_interval():
    _, positive, groups = drawn()
    found = measures(positive, positive, groups)
    assert found["equal opportunity difference"].estimate.value == 0
    assert found["equal opportunity difference"].estimate.low < 0 < found["equal opportunity difference"].estimate.high
    index = theil_index(positive, positive).estimate
    assert index.value == index.low == 0 < index.high
    assert theil_index(predicted=np.zeros(3, bool), positive=np.ones(3, bool)).estimate.value == 0


@pytest.mark.parametrize(
    ("first", "second"), [((0, 20), (5, 20)), ((5, 20), (0, 20)), ((0, 20), (0, 20)), ((0, 0), (5, 9))]
)
def test_ratios_at_the_edges(first, second):
    found = share_ratio(wilson(*first), wilson(*second))
    if second[0]:
        assert found.low >= 0
        assert np.isfinite(found.high) == (first[1] > 0)
    else:
        assert found.high == np.inf
    assert np.isnan(found.value) or found.low <= found.value <= found.high


def test_a_ratio_without_uncertainty_of_the_denominator_is_scaled():
    found = share_ratio(wilson(30, 100), Interval(0.5, 0.5, 0.5))
    assert np.array(found) == pytest.approx(np.array(wilson(30, 100)) / 0.5)


@pytest.mark.parametrize(("p", "q", "n", "m"), [(0.3, 0.5, 60, 90), (0.05, 0.4, 40, 40), (0.5, 0.5, 30, 200)])
def test_intervals_hold(p, q, n, m):
    """Of 1000 draws, differences, ratios and averages are inside in 93% or more."""
    random = np.random.default_rng(1)
    inside = np.zeros(3)
    for hits, others in zip(random.binomial(n, p, 1000), random.binomial(m, q, 1000), strict=True):
        first, second = np.arange(n) < hits, np.arange(m) < others
        found = compared(rates(first, np.ones(n, bool)), rates(second, np.ones(m, bool)))
        truths = (p - q, p - q, p / q)
        for k, (measure, truth) in enumerate(zip((found[0], found[1], found[3]), truths, strict=True)):
            inside[k] += measure.estimate.low <= truth <= measure.estimate.high
    assert (inside / 1000 > 0.93).all(), inside
