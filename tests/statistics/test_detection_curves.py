"""Curves of a detector: peers, closed forms, and how often intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from deeptroubles.statistics.detection_curves import detection_curves


def drawn(count=500, shift=1.0, seed=0, decimals=1):
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.3
    return (random.normal(size=count) + shift * positive).round(decimals), positive


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_areas_are_those_of_scikit_learn(decimals):
    scores, positive = drawn(decimals=decimals)
    found = detection_curves(scores, positive)
    assert found.roc_area.value == pytest.approx(roc_auc_score(positive, scores))
    assert found.average_precision.value == pytest.approx(average_precision_score(positive, scores))
    assert np.trapezoid(found.true_positive_rate, found.false_positive_rate) == pytest.approx(found.roc_area.value)
    assert found.recall[[0, -1]].tolist() == [0, 1]


def test_a_perfect_score_has_intervals_with_a_width():
    positive = np.arange(20) >= 12
    found = detection_curves(np.arange(20.0), positive)
    for area in (found.roc_area, found.average_precision):
        assert area.value == area.high == 1 > area.low > 0.5


def test_one_kind_has_no_curve():
    assert detection_curves(np.arange(4.0), np.ones(4, bool)) is None
    assert detection_curves(np.arange(4.0), np.zeros(4, bool)) is None


def test_the_interval_of_average_precision_holds():
    truth = detection_curves(*drawn(200_000, seed=9, decimals=8)).average_precision.value
    found = [detection_curves(*drawn(200, seed=k, decimals=8)).average_precision for k in range(300)]
    assert np.mean([area.low <= truth <= area.high for area in found]) > 0.93
