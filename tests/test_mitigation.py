"""What can be done about gaps between groups, as a person gets it: from Python and from the command line."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, read_audit
from deeptroubles.cli import main
from deeptroubles.errors import ImagesError, RunFolderError, UsageError
from deeptroubles.methods.mitigation.last_layer import with_head
from deeptroubles.subject import logits_of
from deeptroubles.workflows.mitigate import mitigate

COUNT = 1200
NAMES = ("dark", "light")


class Halves(nn.Sequential):
    """The brightness of both halves, and a linear layer that trusts the right half too much."""

    def __init__(self) -> None:
        super().__init__(nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten(), nn.Linear(2, 2))
        self[2].weight.data = torch.tensor([[-4.0, -10.0], [4.0, 10.0]])
        self[2].bias.data = torch.tensor([6.0, -6.0])


def classifier():
    return Classifier(Halves(), size=8, channels=1, class_names=NAMES, name="halves")


@cache
def images():
    """The left half says the class, the right half the site; most light images are from the north."""
    random = np.random.default_rng(0)
    label = random.integers(2, size=COUNT)
    site = np.where(random.random(COUNT) < 0.8, label, 1 - label)
    pictures = random.integers(0, 60, (COUNT, 8, 8), dtype=np.uint8)
    pictures[:, :, :4] += (130 * label + random.integers(0, 60, COUNT)).astype(np.uint8)[:, None, None]
    pictures[:, :, 4:] += (150 * site).astype(np.uint8)[:, None, None]
    columns = {"site": np.array(["south", "north"])[site]}
    return ImageSet.from_arrays(pictures, np.array(NAMES)[label].tolist(), columns)


@cache
def found():
    return mitigate(classifier(), images(), "site", positive="light", threshold={"south": 0.2, "north": 0.9})


def finding(check):
    return next(f for f in found().audit.findings if f.check == check)


@pytest.mark.parametrize("check", ["mitigation.reweighing", "mitigation.balanced"])
def test_a_new_last_layer_closes_the_gap(check):
    after = finding(check)
    assert after.verdict == Verdict.PASS, after.claim
    before, refitted, left = (e.value for e in after.evidence if e.kind == "estimate" and "gap" in e.label)
    assert before > 0.5 > refitted >= left
    cost = after.evidence[-1]
    assert cost.low < cost.value < cost.high < 0  # it gains accuracy


def test_numbers_are_those_of_the_half_that_nothing_was_fitted_on():
    """Accuracy before and after, counted anew on the copy of the classifier that has the new layer."""
    table = next(e for e in finding("mitigation.balanced").evidence if e.kind == "table" and "Accuracy" in e.title)
    shown = sum(int(row[0].split("(")[1].split()[0]) for row in table.rows)
    assert shown == pytest.approx(COUNT / 2, abs=4)
    pixels = torch.stack([classifier().prepare(images()[i]) for i in range(COUNT)])
    truth = np.array([NAMES.index(label) for label in images().labels])
    changed = with_head(classifier(), found().heads["balanced"])
    right = logits_of(changed, pixels).argmax(1).numpy() == truth
    after = next(
        e for e in finding("mitigation.balanced").evidence if e.kind == "estimate" and e.label == "Accuracy, balanced"
    )
    assert after.value == pytest.approx(right.mean(), abs=0.05)


def test_each_strategy_closes_the_gap_it_is_for_and_says_what_it_costs():
    thresholds = finding("mitigation.thresholds")
    (rows,) = (e.rows for e in thresholds.evidence if e.kind == "table" and e.title.startswith("Effect of thresholds"))
    gaps = {row[0]: row[1:4] for row in rows}
    assert list(gaps) == [
        "unchanged",
        "single",
        "per group",
        "demographic parity",
        "equal opportunity",
        "equal accuracy",
        "custom",
    ]
    for i, aim in enumerate(("demographic parity", "equal opportunity", "equal accuracy")):
        assert gaps[aim][i] < 0.12
        assert gaps[aim][i] <= gaps["single"][i]
    assert any("law" in caveat for caveat in thresholds.caveats)
    costs = [e for e in thresholds.evidence if e.kind == "estimate" and e.label.startswith("Cost in accuracy of")]
    assert len(costs) == 3
    assert costs[0].value > 0  # the classes differ between the sites, so that parity must cost
    assert found().thresholds["custom"] == {"south": 0.2, "north": 0.9}


def test_a_dear_false_positive_raises_thresholds():
    cheap, dear = (mitigate(classifier(), images(), "site", positive="light", cost_ratio=c) for c in (0.2, 5.0))
    for strategy in ("single", "per group"):
        assert all(dear.thresholds[strategy][g] >= cheap.thresholds[strategy][g] for g in ("south", "north"))
    assert dear.thresholds["single"]["south"] > cheap.thresholds["single"]["south"]


def test_the_classifier_stays_as_it_is_and_the_same_seed_gives_the_same():
    model = classifier()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    again = mitigate(model, images(), "site", positive="light", threshold={"south": 0.2, "north": 0.9})
    assert again.audit.findings == found().audit.findings
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    other = mitigate(model, images(), "site", seed=1)
    assert {f.check for f in other.audit.findings} == {"mitigation.reweighing", "mitigation.balanced"}
    assert other.audit.findings[0].claim != again.audit.findings[0].claim


def test_what_cannot_be_done_is_reported():
    model = classifier()
    with pytest.raises(UsageError, match=r"no column 'sit'.*Did you mean site"):
        mitigate(model, images(), "sit")
    with pytest.raises(ImagesError, match="Fewer than two groups of site have 60"):
        mitigate(model, images().subset(range(80)), "site")
    with pytest.raises(UsageError, match="no class 'lihgt'"):
        mitigate(model, images(), "site", positive="lihgt")
    with pytest.raises(UsageError, match="cost ratio is 0"):
        mitigate(model, images(), "site", positive="light", cost_ratio=0)
    with pytest.raises(UsageError, match="one for each of north, south"):
        mitigate(model, images(), "site", positive="light", threshold={"north": 0.5})
    with pytest.raises(UsageError, match="--positive"):
        mitigate(model, images(), "site", threshold={"north": 0.5, "south": 0.5})


def test_the_smallest_groups_that_can_be_halved_are():
    """60 images in each group, 31 of one class and 29 of the other: 30 of each are shown."""
    labels, site = np.array(images().labels), images().table["site"].to_numpy()
    rows = np.concatenate(
        [
            np.flatnonzero((labels == label) & (site == place))[:many]
            for label, many in (("dark", 31), ("light", 29))
            for place in ("north", "south")
        ]
    )
    result = mitigate(classifier(), images().subset(rows), "site", positive="light")
    evidence = [e for finding in result.audit.findings for e in finding.evidence if e.kind == "estimate"]
    assert [bar.n for bar in evidence if bar.label == "Accuracy, unchanged"] == [60, 60]


def test_a_class_that_a_group_lacks_is_reported():
    labels, site = np.array(images().labels), images().table["site"].to_numpy()
    kept = ~((labels == "light") & (site == "south"))
    result = mitigate(classifier(), images().subset(kept), "site")
    assert any(
        "1 of 4 pairs of group and class have no image (such as light in south)" in caveat
        for caveat in result.audit.findings[0].caveats
    )


def test_the_command_writes_a_report_with_layers_and_thresholds(tmp_path, monkeypatch, capsys):
    chosen = images().subset(range(400))
    for row, path in enumerate(chosen.table["path"]):
        Image.fromarray(np.asarray(chosen[row])).save(tmp_path / f"{path}.png")
    table = chosen.table.assign(path=chosen.table["path"] + ".png")
    table.to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / "made_for_mitigation.py").write_text(
        "from tests.test_mitigation import classifier\ndef make(): return classifier()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    command = [
        "deeptroubles",
        "mitigate",
        "made_for_mitigation:make",
        "--images",
        "manifest.csv",
        "--group",
        "site",
        "--positive",
        "light",
        "--threshold",
        "north=0.6",
        "--threshold",
        "south=0.5",
        "--out",
        "run",
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert "mitigation.thresholds" in capsys.readouterr().out
    assert len(read_audit("run").findings) == 3
    assert "Retraining the last layer on reweighed images" in (tmp_path / "run/report.html").read_text()
    thresholds = pd.read_parquet("run/tables/thresholds.parquet")
    assert set(thresholds["strategy"]) >= {"single", "custom", "equal opportunity"}
    assert pd.read_parquet("run/tables/head_balanced.parquet").columns.tolist() == [
        "class",
        "bias",
        "weight_0",
        "weight_1",
    ]
    with pytest.raises(RunFolderError, match="another run"):
        mitigate(classifier(), chosen, "site", "run", seed=3)
    monkeypatch.setattr(sys, "argv", [*command, "--threshold", "north"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "GROUP=NUMBER" in capsys.readouterr().err
