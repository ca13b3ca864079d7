"""Gaps between groups, what gives a group away, and what can be done: closed forms, slow twins, peers."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.fairness.by_group import by_group
from deeptroubles.methods.fairness.gaps import calibration_gap, class_gaps, rate_gap
from deeptroubles.methods.fairness.groupings import crossed, groupings, one_column
from deeptroubles.methods.fairness.leakage import amplification, label_leak, probe
from deeptroubles.methods.mitigation.last_layer import Head, balanced_head, fit_head, with_head
from deeptroubles.methods.mitigation.reweighing import balanced_rows, reweighing
from deeptroubles.methods.mitigation.thresholds import (
    STRATEGIES,
    TOLERANCE,
    _first_half,
    choose_thresholds,
    cost_of,
    cross_fitted,
)
from deeptroubles.network import open_network, penultimate_features
from deeptroubles.statistics.bootstrap import resampled_sums, shuffled_sums
from deeptroubles.statistics.calibration import expected_calibration_error
from deeptroubles.statistics.intervals import share_difference, wilson
from deeptroubles.subject import logits_of
from tests.networks import Plain, formula


def random(seed=0):
    return np.random.default_rng(seed)


def test_resampled_sums_keep_each_stratum_and_vary_as_theory_says():
    values, strata = random().normal(size=(50, 3)), np.array([0] * 30 + [1] * 20)
    sums = resampled_sums(np.hstack([np.ones((50, 1)), values]), strata, resamples=4000, seed=1)
    assert (sums[:, 0, 0] == 30).all()
    assert (sums[:, 1, 0] == 20).all()
    for g, n in ((0, 30), (1, 20)):
        inside = values[strata == g]
        std = inside.std(0) * np.sqrt(n)
        assert np.allclose(sums[:, g, 1:].mean(0), inside.sum(0), atol=5 * std.max() / np.sqrt(4000))
        assert np.allclose(sums[:, g, 1:].std(0), std, rtol=0.06)


def test_shuffled_sums_keep_the_whole_and_the_sizes():
    values, strata = random().normal(size=(50, 2)), np.array([0] * 30 + [1] * 20)
    sums = shuffled_sums(np.hstack([np.ones((50, 1)), values]), strata, shuffles=3000)
    assert (sums[:, :, 0] == [30, 20]).all()
    assert np.allclose(sums[:, :, 1:].sum(1), values.sum(0))
    assert np.allclose(sums[:, 0, 1:].mean(0), 30 * values.mean(0), atol=0.4)


def test_the_difference_of_shares_is_newcombe_s():
    """His table II, method 10: 56/70 against 48/80, and 10/10 against 0/10."""
    assert share_difference(wilson(56, 70), wilson(48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert share_difference(wilson(10, 10), wilson(0, 10)) == pytest.approx((1.0, 0.6075, 1.0), abs=5e-5)


def test_a_rate_gap_in_closed_form():
    happened = np.array([True] * 90 + [False] * 10 + [True] * 30 + [False] * 20 + [True] * 3)
    groups = np.array([2] * 100 + [5] * 50 + [7] * 2 + [-1])
    gap = rate_gap("x", happened, groups, seed=1)
    assert gap.values == {2: (0.9, 100), 5: (0.6, 50)}  # the group of two is too small, and one image has none
    assert (gap.worst, gap.best, gap.ratio) == (5, 2, pytest.approx(2 / 3))
    assert gap.gap.value == pytest.approx(0.3)
    newcombe = share_difference(wilson(90, 100), wilson(30, 50))
    assert gap.gap.low <= newcombe.low + 1e-9
    assert gap.gap.high >= newcombe.high - 1e-9
    assert gap.p == pytest.approx(1e-4)
    assert rate_gap("x", happened, np.zeros(153, dtype=int)) is None
    good = rate_gap("x", happened, groups, high_is_good=False)
    assert (good.worst, good.best) == (2, 5)


def test_chance_is_what_shuffled_groups_give():
    """The hypergeometric draw against plain shuffling, and for two groups against Fisher's exact test."""
    happened, groups = random(2).random(140) < 0.3, np.repeat([0, 1, 2], [60, 45, 35])
    gap = rate_gap("x", happened, groups, seed=3, shuffles=20_000)
    shuffles = []
    for seed in range(3000):
        dealt = random(seed).permutation(groups)
        shuffles.append(np.ptp([happened[dealt == g].mean() for g in range(3)]))
    plain = np.mean(np.array(shuffles) >= gap.gap.value - 1e-12)
    assert gap.p == pytest.approx(plain, abs=4 * np.sqrt(0.25 / 3000))
    two = rate_gap("x", happened[:90], groups[:90] * 0 + np.repeat([0, 1], 45), shuffles=50_000)
    exact = stats.fisher_exact(
        [[happened[:45].sum(), 45 - happened[:45].sum()], [happened[45:90].sum(), 45 - happened[45:90].sum()]]
    ).pvalue
    assert two.p == pytest.approx(exact, abs=0.01)


def test_gaps_hold_what_they_say():
    """The interval of a gap holds the true gap in at least 95 % of samples, whether there is one or not."""
    for shares in ((0.8, 0.8, 0.8), (0.9, 0.6, 0.75), (1.0, 1.0, 0.9)):
        held, runs, true = 0, 300, max(shares) - min(shares)
        for seed in range(runs):
            draw = random(seed)
            groups = np.repeat([0, 1, 2], [60, 80, 150])
            gap = rate_gap("x", draw.random(290) < np.array(shares)[groups], groups, seed=seed, shuffles=199)
            held += gap.gap.low <= true + 1e-9 <= gap.gap.high + 2e-9
        assert stats.binomtest(held, runs, 0.95, alternative="less").pvalue > 0.01, shares


def test_a_calibration_gap_is_that_of_the_plain_errors():
    draw = random()
    confidence, groups = draw.random(400), draw.integers(2, size=400)
    correct = draw.random(400) < np.where(groups == 1, confidence, 0.2)
    gap = calibration_gap(confidence, correct, groups)
    plain = [expected_calibration_error(confidence[groups == g], correct[groups == g]) for g in range(2)]
    assert [gap.values[g][0] for g in range(2)] == pytest.approx(plain)
    assert gap.gap.value == pytest.approx(plain[0] - plain[1])
    assert (gap.worst, gap.p) == (0, 0.001)
    fair = calibration_gap(confidence, draw.random(400) < confidence, groups)
    assert fair.p > 0.01


def test_rates_by_class_are_fairlearn_s():
    draw = random(4)
    targets, predicted, groups = (draw.integers(k, size=900) for k in (3, 3, 4))
    for gap in class_gaps(targets, predicted, groups, {0: "a", 1: "b", 2: "c"}):
        kind, name = gap.measure.split(" positives of ")
        k = "abc".index(name)
        frame = MetricFrame(
            metrics=true_positive_rate if kind == "true" else false_positive_rate,
            y_true=(targets == k).astype(int),
            y_pred=(predicted == k).astype(int),
            sensitive_features=groups,
        )
        assert gap.gap.value == pytest.approx(frame.difference())
        assert gap.ratio == pytest.approx(frame.ratio())
        assert {g: v for g, (v, _) in gap.values.items()} == pytest.approx(frame.by_group.to_dict())


def test_any_metric_by_columns_and_their_intersection():
    draw = random(5)
    truth, predicted = draw.integers(2, size=(2, 500))
    columns = pd.DataFrame(
        {"sex": draw.choice(["f", "m"], 500), "age": draw.choice(["old", "young"], 500, p=[0.05, 0.95])}
    )
    columns.loc[:9, "sex"] = None
    found = by_group({"accuracy": accuracy_score, "balanced": balanced_accuracy_score}, truth, predicted, columns)
    for (sex, age), row in found.table.iterrows():
        inside = ((columns["sex"] == sex) & (columns["age"] == age)).to_numpy()
        assert row["images"] == inside.sum()
        if inside.sum() < 30:
            assert np.isnan(row["accuracy"])
        else:
            assert row["balanced"] == pytest.approx(balanced_accuracy_score(truth[inside], predicted[inside]))
    young = found.table.xs("young", level="age")["accuracy"]
    assert found.gap["accuracy"] == pytest.approx(young.max() - young.min())
    assert found.ratio["accuracy"] == pytest.approx(young.min() / young.max())
    assert found.lowest["accuracy"] == young.min()
    with pytest.raises(UsageError, match="500 true values, 500 predictions and 3 groups"):
        by_group({"accuracy": accuracy_score}, truth, predicted, {"sex": ["f", "m", "f"]})
    with pytest.raises(UsageError, match="No group has 900 images"):
        by_group({"accuracy": accuracy_score}, truth, predicted, columns, min_group=900)


def test_groupings_cross_columns_and_know_what_is_missing():
    table = pd.DataFrame({"sex": ["f", "m", None, "f"], "old": [1, 0, 1, 1], "place": ["a", " ", "b", "a"]})
    one, other, place, *pairs, three = groupings(table, ["sex", "old", "place"])
    assert (one.names, one.codes.tolist()) == (("f", "m"), [0, 1, -1, 0])
    assert other.names == ("old 0", "old 1")
    assert place.codes.tolist() == [0, -1, 1, 0]
    assert [pair.name for pair in pairs] == ["sex × old", "sex × place", "old × place"]
    assert (pairs[0].names, pairs[0].codes.tolist()) == (("f × old 1", "m × old 0"), [0, 1, -1, 0])
    assert (three.names, three.codes.tolist()) == (("f × old 1 × a",), [0, -1, -1, 0])
    empty = one_column(pd.DataFrame({"x": [None, None]}), "x")
    assert crossed(empty, one_column(pd.DataFrame({"y": [1, 2]}), "y")).names == ()


def test_a_probe_is_a_linear_discriminant_with_equal_priors():
    draw = random(6)
    groups = np.repeat([0, 1], [260, 60])
    features = draw.normal(size=(320, 5)) @ draw.normal(size=(5, 5)) + groups[:, None] * 0.4
    leak = probe(features, groups, shuffles=99)
    predicted = np.empty(320, dtype=int)
    for fitted, shown in StratifiedKFold(5, shuffle=True, random_state=0).split(features, groups):
        peer = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(features[fitted], groups[fitted])
        predicted[shown] = peer.predict(features[shown])
    assert leak.recall.mean() == pytest.approx(
        balanced_accuracy_score(groups, predicted), abs=0.02
    )  # but for the ridge


def test_a_probe_finds_what_is_there_and_no_more():
    groups = np.repeat([0, 1, 2], 50)
    assert probe(np.eye(3)[groups] + 1e-3 * random().normal(size=(150, 3)), groups).recall == pytest.approx(1)
    alarms = sum(probe(random(s).normal(size=(150, 30)), groups, seed=s, shuffles=99).p <= 0.05 for s in range(120))
    assert stats.binomtest(alarms, 120, 0.05, alternative="greater").pvalue > 0.01
    assert probe(np.zeros((150, 4)), groups).strength.low == 0


def test_label_leak_in_closed_form():
    """Labels that are the group tell it always; each of two labels half-half tells nothing."""
    groups = np.repeat([0, 1], 60)
    assert label_leak(groups, groups).strength.value == 1
    blind = label_leak(np.arange(120) % 2, groups)
    assert (blind.strength.low, blind.strength.value) == (0, 0)


def test_amplification_is_nothing_for_degraded_labels_and_all_for_the_group():
    draw, groups = random(7), np.tile([0, 1], 300)
    labels = np.where(draw.random(600) < 0.7, groups, 1 - groups)
    flipped = np.where(draw.random(600) < 0.2, 1 - labels, labels)
    found, degraded = amplification(flipped, labels, groups)
    assert found.low < 0 < found.high
    assert degraded == pytest.approx(0.4 * 0.6, abs=0.06)  # 70 % agree, of which 80 and 20 % are left as they are
    found, degraded = amplification(groups, labels, groups)
    assert found.value + degraded == pytest.approx(1)
    assert found.low > 0.5
    alarms = 0
    for seed in range(150):
        draw = random(seed)
        labels, groups = draw.integers(3, size=200), draw.integers(2, size=200)
        predicted = np.where(draw.random(200) < 0.7, labels, draw.integers(3, size=200))
        alarms += amplification(predicted, labels, groups, draws=20, seed=seed)[0].low > 0
    assert stats.binomtest(alarms, 150, 0.05, alternative="greater").pvalue > 0.01


def test_reweighing_makes_class_and_group_independent_and_equals_aif360():
    draw = random(8)
    groups = draw.integers(2, size=300)
    classes = (draw.random(300) < np.where(groups == 1, 0.8, 0.3)).astype(int)
    weights = reweighing(classes, groups)
    assert weights.sum() == pytest.approx(300)
    for g in range(2):
        share = weights[(groups == g) & (classes == 1)].sum() / weights[groups == g].sum()
        assert share == pytest.approx(classes.mean())
    pytest.importorskip("aif360")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aif360.algorithms.preprocessing import Reweighing
        from aif360.datasets import BinaryLabelDataset
    data = BinaryLabelDataset(
        df=pd.DataFrame({"y": classes, "g": groups}).astype(float), label_names=["y"], protected_attribute_names=["g"]
    )
    other = Reweighing([{"g": 0}], [{"g": 1}]).fit_transform(data)
    assert weights == pytest.approx(other.instance_weights)


def test_balanced_rows_have_as_many_of_each():
    draw = random(9)
    classes, groups = draw.choice(3, 400, p=[0.6, 0.3, 0.1]), draw.choice(2, 400, p=[0.8, 0.2])
    rows = balanced_rows(classes, groups)
    assert len(set(rows.tolist())) == len(rows)
    counts = pd.crosstab(classes[rows], groups[rows]).to_numpy()
    assert (counts == pd.crosstab(classes, groups).to_numpy().min()).all()
    assert rows.tolist() != balanced_rows(classes, groups, seed=1).tolist()


def test_a_new_head_reads_the_right_feature_when_images_are_balanced():
    """Two features say the class: one always but faintly, the other (the group) loudly and nearly always."""
    draw = random(10)
    classes = draw.integers(2, size=2000)
    groups = np.where(draw.random(2000) < 0.95, classes, 1 - classes)
    features = np.stack([classes + draw.normal(size=2000) * 0.5, 5.0 * groups + draw.normal(size=2000) * 0.1], 1)

    def worst(head):
        right = head.logits(features).argmax(1) == classes
        return min(right[(classes == c) & (groups == g)].mean() for c, g in product(range(2), range(2)))

    plain = worst(fit_head(features, classes, 2))
    assert plain < 0.5
    assert worst(fit_head(features, classes, 2, reweighing(classes, groups))) > 0.75
    assert worst(balanced_head(features, classes, groups, 2)) > 0.75
    three = fit_head(features, classes * 2, 3)  # the class between is in no image
    assert set(three.logits(features).argmax(1)) == {0, 2}
    assert (three.logits(features).argmax(1) // 2 == fit_head(features, classes, 2).logits(features).argmax(1)).all()


def test_a_classifier_with_another_head():
    classifier = Classifier(Plain(), size=12)
    pixels = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    features = penultimate_features(open_network(classifier), pixels)
    assert torch.allclose(features, nn.Sequential(*list(classifier.module)[:-1]).eval()(pixels), atol=1e-6)
    head = Head(random().normal(size=(4, 8)), random().normal(size=4))
    before = logits_of(classifier, pixels)
    changed = with_head(classifier, head)
    assert logits_of(changed, pixels).numpy() == pytest.approx(
        head.logits(features.double().detach().numpy()), abs=1e-4
    )
    assert torch.equal(before, logits_of(classifier, pixels))
    with pytest.raises(ModelError, match="no last layer"):
        with_head(formula(lambda x: torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1)), head)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(STRATEGIES), st.sampled_from([0.25, 1.0, 3.0]))
def test_thresholds_are_the_best_of_all(seed, strategy, ratio):
    """Against every combination of thresholds of two small groups."""
    draw = random(seed)
    scores, positive = draw.integers(10, size=16) / 10, draw.random(16) < 0.5
    groups = np.repeat([0, 1], 8)
    positive[[0, 8]], positive[[1, 9]] = True, False
    chosen = choose_thresholds(strategy, scores, positive, groups, cost_ratio=ratio)

    def judged(cuts):
        predicted = scores >= np.array(cuts)[groups]
        rates = {
            "demographic parity": [predicted[groups == g].mean() for g in range(2)],
            "equal opportunity": [predicted[positive & (groups == g)].mean() for g in range(2)],
            "equal accuracy": [(predicted == positive)[groups == g].mean() for g in range(2)],
        }.get(strategy, [0, 0])
        return max(TOLERANCE, float(np.ptp(rates))), cost_of(predicted, positive, ratio).sum()

    cuts = [np.inf, *(np.unique(scores) - 0.05)]
    pairs = zip(cuts, cuts, strict=True) if strategy == "single" else product(cuts, cuts)
    best = min(judged(pair) for pair in pairs)
    assert judged(chosen) == pytest.approx(best)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cross_fitted_thresholds_are_those_of_the_other_half(strategy):
    """An image moves no cut of its own half, and both halves have the same number of each kind."""
    scores, positive, groups = random().random(80), np.arange(80) % 4 < 2, np.arange(80) % 2
    first = _first_half(positive, groups, 3)
    assert np.bincount(2 * groups + positive, weights=first).tolist() == [10, 10, 10, 10]
    predicted = cross_fitted(strategy, scores, positive, groups, seed=3)
    for row in (0, 17, 79):
        changed = scores.copy()
        changed[row] = 2.0
        same = (first == first[row]) & (np.arange(80) != row)
        assert (cross_fitted(strategy, changed, positive, groups, seed=3)[same] == predicted[same]).all()


def test_cross_fitting_shows_what_choosing_and_measuring_on_the_same_images_hides():
    """Scores say nothing: thresholds on the same images look better than chance, those of the other half do not."""
    same, other = [], []
    for seed in range(10):
        scores, positive, groups = random(seed).random(400), np.arange(400) % 2 == 0, random(seed).integers(8, size=400)
        cuts = choose_thresholds("per group", scores, positive, groups)
        same.append(((scores >= cuts[groups]) == positive).mean())
        other.append((cross_fitted("per group", scores, positive, groups) == positive).mean())
    assert np.mean(same) > 0.55
    assert abs(np.mean(other) - 0.5) < 0.03
