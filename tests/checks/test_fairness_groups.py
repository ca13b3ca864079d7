from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import recall_score

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.fairness import groups as module
from deeptroubles.checks.fairness.groups import groups
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UsageError
from deeptroubles.recording import record
from tests.networks import formula

COUNT = 1200


def misclassified(wrong):
    """A network that predicts the brightness of images, the images, and labels that differ where `wrong`."""
    truth = np.arange(COUNT) % 2
    shown = np.where(wrong, 1 - truth, truth)
    pictures = np.broadcast_to((shown * 200 + 20).astype(np.uint8)[:, None, None], (COUNT, 4, 4))
    network = formula(lambda x: torch.stack([0.5 - x[:, 0, 0, 0], x[:, 0, 0, 0] - 0.5], 1) * 8, 4, 1, ["dark", "light"])
    return network, np.ascontiguousarray(pictures), np.array(["dark", "light"])[truth].tolist()


def case(shares, **columns):
    """A network that is wrong on a share of each site's images."""
    random = np.random.default_rng(0)
    site = random.integers(len(shares), size=COUNT)
    network, pictures, labels = misclassified(random.random(COUNT) < np.array(shares)[site])
    named = {"site": np.array(["north", "south", "east"])[site], **columns}
    return network, ImageSet.from_arrays(pictures, labels, named), {"group": tuple(named)}


def planted():
    """It is wrong on nearly half of the images from one site."""
    return case([0.02, 0.45, 0.02])


def clean():
    """It is wrong as often everywhere."""
    return case([0.04, 0.04, 0.04])


def ask(network, images, options, seed=0):
    engine = LocalEngine()
    return groups(record(network, images, engine, options), engine, seed=seed)


def test_values_are_the_plain_ones():
    network, images, options = planted()
    result = ask(network, images, options)
    recording = record(network, images, LocalEngine(), options)
    right = recording.predicted == recording.targets
    site = images.table["site"].to_numpy()
    for group in result.groups:
        assert group.images == (site == group.name).sum()
        assert group.accuracy.value == pytest.approx(right[site == group.name].mean())
    found = {gap.measure: gap for _, gap in result.gaps}
    names = result.names["site"]
    for index, name in enumerate(("dark", "light")):
        rates = {
            s: recall_score(recording.targets[site == s] == index, recording.predicted[site == s] == index)
            for s in names
        }
        gap = found[f"true positives of {name}"]
        assert {names[k]: v for k, (v, _) in gap.values.items()} == pytest.approx(rates)
        assert gap.gap.value == pytest.approx(max(rates.values()) - min(rates.values()))
        assert gap.ratio == pytest.approx(min(rates.values()) / max(rates.values()))
        assert names[gap.worst] == "south"
        wrong = found[f"false positives of {('light', 'dark')[index]}"]
        assert wrong.values[gap.worst][0] == pytest.approx(1 - rates["south"])  # with two classes they are complements
        assert names[wrong.worst] == "south"


def test_a_trouble_that_shows_only_where_columns_are_crossed():
    """Gender shades: accuracy is equal across sites and across hours, and low where they are crossed."""
    random = np.random.default_rng(3)
    site, night = random.integers(2, size=COUNT), random.integers(2, size=COUNT)
    wrong = random.random(COUNT) < np.where(site == night, 0.45, 0.02)
    network, pictures, labels = misclassified(wrong)
    columns = {"site": np.array(["north", "south"])[site], "night": np.array(["day", "night"])[night]}
    images = ImageSet.from_arrays(pictures, labels, columns)
    (finding,) = audit(network, images, checks=["fairness.groups"], group=("site", "night")).findings
    assert finding.verdict == Verdict.FAIL
    assert "between groups of site × night" in finding.claim
    alone, _ = (audit(network, images, checks=["fairness.groups"], group=(c,)) for c in columns)
    assert alone.findings[0].verdict == Verdict.PASS


def test_no_more_false_alarms_than_the_level_says(monkeypatch):
    """Random groups, two columns and their intersection: any significant gap is a false alarm."""
    monkeypatch.setattr(module, "_performance", lambda *_: [])  # which decides nothing
    runs, alarms, random = 60, 0, np.random.default_rng(1)
    for seed in range(runs):
        network, images, options = case([0.15, 0.15], coin=random.choice(["heads", "tails", "edge"], COUNT))
        rows = random.choice(COUNT, 300, replace=False)
        alarms += any(gap.gap.low > 0 for _, gap in ask(network, images.subset(rows), options, seed).gaps)
    assert stats.binomtest(alarms, runs, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["only"] * COUNT, "only one value (only)"),
        ([f"person {i}" for i in range(COUNT)], "with fewer than 30 images, not judged"),
        ([None] * 10 + ["a", "b"] * (COUNT // 2 - 5), "10 labelled images without a value of place"),
    ],
)
def test_bad_columns_get_a_sentence_and_the_others_are_judged(column, said):
    network, images, options = case([0.02, 0.45, 0.02], place=column)
    (finding,) = audit(network, images, checks=["fairness.groups"], **options).findings
    assert finding.verdict == Verdict.FAIL
    assert any(said in caveat for caveat in finding.caveats)


def test_only_groups_that_are_too_small_are_inconclusive():
    network, images, _ = clean()
    few = ImageSet.from_arrays(
        [np.asarray(images[i]) for i in range(40)], images.labels[:40], {"place": ["here", "there"] * 20}
    )
    (finding,) = audit(network, few, checks=["fairness.groups"], group=("place",)).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert [row[1] for row in finding.evidence[0].rows] == ["here (too few images)", "there (too few images)"]


def test_a_class_that_is_never_predicted_gets_a_sentence():
    _, images, options = clean()
    network = formula(lambda x: torch.stack([x[:, 0, 0, 0] + 1, x[:, 0, 0, 0]], 1), 4, 1, ["dark", "light"])
    (finding,) = audit(network, images, checks=["fairness.groups"], **options).findings
    assert any("Never predicted" in caveat and "light" in caveat for caveat in finding.caveats)


def test_without_groups_it_is_skipped_and_a_wrong_column_is_reported_before_any_work():
    network, images, _ = clean()
    (finding,) = audit(network, images, checks=["fairness.groups"]).findings
    assert finding.verdict == Verdict.SKIPPED
    assert "--group" in finding.claim
    with pytest.raises(UsageError, match=r"no column 'sit' .*Did you mean site\?"):
        audit(network, images, checks=["fairness.groups"], group=("sit",))


def test_it_equals_aif360_where_that_is_installed():
    pytest.importorskip("aif360")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aif360.datasets import BinaryLabelDataset
        from aif360.metrics import ClassificationMetric
    network, images, options = case([0.05, 0.3])
    result = ask(network, images, options)
    recording = record(network, images, LocalEngine(), options)
    table = pd.DataFrame({"y": recording.targets, "g": (images.table["site"] == "north").astype(int)})
    predicted = table.assign(y=recording.predicted)
    sets = [
        BinaryLabelDataset(df=t.astype(float), label_names=["y"], protected_attribute_names=["g"])
        for t in (table, predicted)
    ]
    other = ClassificationMetric(*sets, unprivileged_groups=[{"g": 0}], privileged_groups=[{"g": 1}])
    found = {gap.measure: gap.gap.value for _, gap in result.gaps}
    assert found["true positives of light"] == pytest.approx(abs(other.equal_opportunity_difference()))
    assert found["false positives of light"] == pytest.approx(abs(other.false_positive_rate_difference()))
    assert found["accuracy"] == pytest.approx(abs(other.error_rate_difference()))
