"""Comparing audits: nothing is found between equals, a regression is, and the error rates are what they say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from deeptroubles import audit, compare
from deeptroubles.cli import app
from deeptroubles.errors import RunFolderError
from deeptroubles.findings import Estimate, Finding, Verdict
from deeptroubles.run.folder import read_audit
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import wilson
from deeptroubles.workflows.compare import ALPHA, _accuracy, _changes, _unpaired, comparison_report
from tests.served import opened, various

CHECKS = ["performance.accuracy", "performance.calibration"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base, the same again with another seed, and a network that predicts the other way round."""
    folder, what = tmp_path_factory.mktemp("compared"), various(opened(200))
    with torch.no_grad():
        pixels = torch.stack([what.classifier.prepare(what.images[i]) for i in range(200)])
        names = [what.classifier.class_names[k] for k in what.classifier(pixels).argmax(1)]
    random = np.random.default_rng(0)
    labels = [name if random.random() < 0.8 else "cat" for name in names]
    what.images.table["label"] = labels
    audit(what.classifier, what.images, folder / "base", checks=CHECKS)
    audit(what.classifier, what.images, folder / "again", checks=CHECKS, seed=5)
    with torch.no_grad():
        head = what.classifier.module[-1]
        head.weight.neg_()
        head.bias.neg_()
    audit(what.classifier, what.images, folder / "worse", checks=CHECKS)
    return folder


def test_a_network_is_as_good_as_itself(runs):
    found = compare(runs / "base", runs / "again")
    assert not found.worse
    assert not found.better
    assert found.lost == found.won == ()
    assert all(was == now for _, was, now in found.verdicts)
    assert [finding.verdict for finding in comparison_report(found).findings] == ["pass"] * 3


def test_a_regression_is_found_and_leaves_with_1(runs, tmp_path):
    found = compare(runs / "base", runs / "worse")
    assert found.worse[0].label == "accuracy on the same images"
    tables = [
        pd.read_parquet(runs / name / "tables" / "images.parquet").set_index("path") for name in ("base", "worse")
    ]
    lost = tables[0]["correct"] & ~tables[1]["correct"]
    assert set(found.lost) == set(lost.index[lost])
    both = stats.binomtest(len(found.lost), len(found.lost) + len(found.won)).pvalue
    assert found.worse[0].p == pytest.approx(min(1, both * len(found.changes)), rel=1e-6)
    folders = [str(runs / name) for name in ("base", "again", "worse")]
    run = CliRunner().invoke
    assert run(app, ["compare", *folders[:2], "--fail-on", "worse"]).exit_code == 0
    assert run(app, ["compare", *folders]).exit_code == 0
    answer = run(app, ["compare", *folders, "--fail-on", "worse", "--json", "--out", str(tmp_path)])
    assert answer.exit_code == 1
    assert [each["findings"][0]["verdict"] for each in json.loads(answer.stdout)] == ["pass", "fail"]
    assert (tmp_path / "base-worse.html").read_text().count("compare.estimates")
    back = compare(runs / "worse", runs / "base")
    assert {change.label for change in back.better} == {change.label for change in found.worse}
    assert not back.worse


def test_other_images_are_compared_by_what_both_have(runs, tmp_path):
    what = opened(50)
    audit(what.classifier, what.images, tmp_path / "fewer", checks=CHECKS)
    found = compare(runs / "base", tmp_path / "fewer")
    assert [change.label for change in found.changes] == ["accuracy on the same images"]
    assert found.changes[0].before.n == 50
    assert "different images" in found.notes[0]


def test_a_folder_without_an_audit_is_refused(runs, tmp_path):
    with pytest.raises(RunFolderError):
        compare(runs / "base", tmp_path)


def test_two_equal_networks_rarely_differ():
    """The share of false alarms over all comparisons is at most ALPHA, within its interval."""
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(600):
        hard = random.random(300)
        right = np.stack([random.random(300) < 0.5 + 0.4 * hard for _ in range(2)], axis=1)
        counts = random.binomial(200, 0.3, size=(8, 2))
        changes = [_accuracy(right), *(_unpaired("a.b", _share(a), _share(b)) for a, b in counts.tolist())]
        alarms += bool((holm(np.array([change.p for change in changes])) < ALPHA).any())
    assert wilson(alarms, 600).low <= ALPHA


def test_a_real_difference_is_found():
    random = np.random.default_rng(1)
    found = 0
    for _ in range(100):
        base = random.random(500) < 0.85
        right = np.stack([base, base & (random.random(500) > 0.06)], axis=1)  # 5 points worse on the same images
        found += _accuracy(right).p * 9 < ALPHA
    assert found >= 95


def test_an_interval_that_touches_zero_has_the_p_of_its_level():
    a, b = _share(60), _share(80)
    change = _unpaired("a.b", a, b)
    assert change.difference.value == pytest.approx(0.1)
    grown = Estimate(label="x", value=b.value, low=b.value - (b.value - b.low) * 3, high=b.high, n=200)
    assert _unpaired("a.b", a, grown).p > change.p
    exact = Estimate(label="x", value=0.4, low=0.4, high=0.4, n=200)
    assert _unpaired("a.b", exact, exact).p == 1
    other = Estimate(label="x", value=0.41, low=0.41, high=0.41, n=200)
    assert _unpaired("a.b", exact, other).p == 0


def _share(count):
    share = wilson(count, 200)
    return Estimate(label="x", value=share.value, low=share.low, high=share.high, n=200)


def test_pages_of_runs_with_the_same_name_do_not_replace_each_other(runs, tmp_path):
    for place in ("one", "two"):
        shutil.copytree(runs / "again", tmp_path / place / "run")
    folders = [runs / "base", *(tmp_path / place / "run" for place in ("one", "two"))]
    found = CliRunner().invoke(app, ["compare", *map(str, folders), "--out", str(tmp_path / "pages")])
    assert found.exit_code == 0
    assert sorted(page.name for page in (tmp_path / "pages").iterdir()) == ["base-run-2.html", "base-run.html"]


def test_of_several_findings_the_worst_of_each_audit_is_compared(runs):
    found = read_audit(runs / "base")
    values = [_share(count) for count in (120, 20)]
    shortcuts = [
        Finding(check="reliance.shortcut", verdict=Verdict.FAIL, claim="c", criterion="c", evidence=[each])
        for each in values
    ]
    before = replace(found, findings=shortcuts)
    changes = list(_changes(before, replace(found, findings=shortcuts[1:])))
    assert [(change.before, change.after) for change in changes] == [(values[0], values[1])]
    assert [(change.before, change.after) for change in _changes(before, before)] == [(values[0], values[0])]


def test_checks_of_one_audit_only_did_not_change_their_verdict(runs):
    found = compare(runs / "base", runs / "again")
    more = replace(found, verdicts=(*found.verdicts, ("units.dead", "", "warn")))
    claim = comparison_report(more).findings[2].claim
    assert claim == "The verdict of 0 of 2 checks that both ran changed. 1 check ran in one audit only."
