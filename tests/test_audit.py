"""One audit from end to end: what it survives, what it refuses, and how it goes on after an interruption."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deeptroubles import Classifier, ImageSet, Verdict, audit, load_images, read_audit
from deeptroubles.checks.registry import Check, all_checks, chosen_checks
from deeptroubles.engine import code_fingerprint
from deeptroubles.errors import ImagesError, ModelError, RunFolderError, UsageError
from deeptroubles.findings import Estimate, Finding, Guide, audit_to_json, findings_to_json, worst_first
from deeptroubles.progress import Silent, reporting_to
from tests.networks import Plain, formula

NAMES = ("red", "green", "blue")
SIZE = 14
CHECKS = ["performance", "reliance.occlusion_gain", "stability.translation"]
"""Those that are quick and keep chunks."""
MODEL = """
import os, time, torch
from torch import nn
from deeptroubles import Classifier

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        weight = torch.linspace(0.2, 1, x.shape[-1])
        return (x * weight).mean((2, 3)) * 5 * self.scale

def make():
    return Classifier(Slow(), size=14, class_names=["red", "green", "blue"], name="slow")
"""


def by_default():
    """The names of the checks that run when none are named."""
    return {check.name for check in chosen_checks(None)}


def colors(count: int = 12, labels=NAMES) -> ImageSet:
    random = np.random.default_rng(0)
    arrays = random.integers(0, 90, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for i, array in enumerate(arrays):
        array[:, :9, i % 3] += np.uint8(60)
        array[:, 9:, (i + i // 3) % 3] += np.uint8(90)
    return ImageSet.from_arrays(arrays, [labels[i % 3] for i in range(count)])


def classifier() -> Classifier:
    return Classifier(Plain(classes=3), size=SIZE, class_names=NAMES)


def write(images: ImageSet, folder: Path) -> Path:
    for i in range(len(images)):
        place = folder / images.table["label"][i]
        place.mkdir(parents=True, exist_ok=True)
        images[i].save(place / f"{i:03d}.png")
    return folder


def alike(result):
    """Without what tells of the time and the command."""
    return replace(result, seconds=0, created="", command="", durations={})


def chunks(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / "chunks").glob("*.npz")}


@pytest.fixture
def declared(monkeypatch):
    """Declare a check for the length of a test."""
    known = dict(all_checks())
    monkeypatch.setattr("deeptroubles.checks.registry.all_checks", lambda: known)
    guide = Guide(question="q?", asks="a", matters="m", reading="r", limits="l", references="f")

    def declare(name, function, needs=(), **more):
        function.__doc__ = "\n".join(
            [
                f"{guide.question}\n",
                *(
                    f"{section}:\n    text\n"
                    for section in ("What it asks", "Why it matters", "How to read it", "Limits", "References")
                ),
            ]
        )
        known[name] = Check(name, function, tuple(needs), **more)

    return declare


@dataclass(frozen=True)
class Answer:
    found: list[Finding]

    def findings(self):
        return self.found


def finding(name: str, verdict: Verdict, severity: float = 0.0, priority: int = 0) -> Finding:
    return Finding(check=name, verdict=verdict, claim="1", criterion="", severity=severity, priority=priority)


# --- what comes out


def test_an_audit_from_end_to_end(tmp_path):
    result = audit(classifier(), colors(), tmp_path / "run", seed=3, command="the command")
    assert result.status == "complete"
    assert {f.check for f in result.findings} == by_default() == set(result.guides)
    assert list(result.findings) == worst_first(result.findings)
    assert (result.seed, result.command, result.model.classes, result.model.input) == (
        3,
        "the command",
        3,
        "3 x 14 x 14",
    )
    assert (result.images.count, result.images.labelled, result.images.classes) == (12, 12, 3)
    assert result.environment["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert audit_to_json(read_audit(tmp_path / "run")) == audit_to_json(result)
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"run.json", "audit.json", "chunks", "tables"}


def test_a_finding_of_priority_comes_before_its_equals_and_after_what_is_worse():
    order = [
        finding("z.a", Verdict.ERROR, 0.0),
        finding("z.b", Verdict.WARN, 0.1, priority=1),
        finding("a.a", Verdict.WARN, 1.0),
        finding("a.b", Verdict.PASS, 1.0),
    ]
    assert worst_first(order[::-1]) == order


def test_checks_run_in_the_order_of_what_a_person_wants_to_know():
    said = Said()
    with reporting_to(said):
        result = audit(
            classifier(), colors(), checks=["adversarial.one_pixel", "stability.scale", "performance", "data"]
        )
    names = [name for name, *_ in said.conclusions]
    families = list(dict.fromkeys(name.partition(".")[0] for name in names))
    assert families == ["data", "performance", "stability", "adversarial"]
    assert names == list(result.durations)
    assert {name: verdict for name, verdict, _ in said.conclusions} == {f.check: f.verdict for f in result.findings}
    assert all(0 <= seconds <= result.seconds + 0.1 for seconds in result.durations.values())
    assert list(all_checks())[-1].startswith("adversarial.")


class Said(Silent):
    """Keeps what is said about checks that are over."""

    def __init__(self):
        self.conclusions = []

    def concluded(self, name, outcome, seconds):
        self.conclusions.append((name, outcome, seconds))


def test_checks_can_be_left_out():
    result = audit(classifier(), colors(), checks=["performance", "data.balance"], skip=["performance.accuracy"])
    assert set(result.durations) - {"data.classes"} == {
        "performance.baseline",
        "performance.calibration",
        "performance.lookalikes",
        "performance.out_of_distribution",
        "performance.preprocessing",
        "data.balance",
    }
    with pytest.raises(UsageError, match=r"no check 'perfromance'\. Did you mean performance"):
        audit(classifier(), colors(), skip=["perfromance"])
    with pytest.raises(UsageError, match="No check is left"):
        audit(classifier(), colors(), checks=["data.balance"], skip=["data"])


def test_a_problem_of_nearly_every_network_stands_apart(declared):
    for name, verdict, common in (("a.own", "pass", False), ("b.usual", "fail", True), ("c.rare", "pass", True)):
        found = Answer([finding(name, Verdict(verdict))])
        declared(name, lambda *_, found=found, **__: found, common=common)
    result = audit(classifier(), colors(), checks=["a", "b", "c"])
    assert [(f.check, f.common) for f in result.findings] == [("a.own", False), ("c.rare", False), ("b.usual", True)]
    assert result.verdicts() == {Verdict.PASS: 2}


def test_a_problem_that_an_attack_finds_is_one_of_nearly_every_network():
    attacks = [check for check in all_checks().values() if check.family == "adversarial"]
    assert attacks
    assert all(check.common for check in attacks)
    assert not any(check.common for check in all_checks().values() if check.family != "adversarial")


def test_estimates_have_the_values_of_known_networks_beside_them():
    (found,) = audit(classifier(), colors(), checks=["stability.translation"]).findings
    (estimate,) = (e for e in found.evidence if isinstance(e, Estimate))
    names = {reference.name for reference in estimate.references}
    assert {"ResNet-20 on CIFAR-10", "ResNet-50 on ImageNet"} <= names
    assert all(0 <= r.value <= 1 and r.source and r.date for r in estimate.references)


def test_the_report_grows_with_the_audit(declared, tmp_path):
    seen = []

    def look(*_args, **_settings):
        held = read_audit(tmp_path)
        seen.append(
            (held.status, [f.check for f in held.findings], "a.first" in (tmp_path / "report.html").read_text())
        )
        return Answer([finding("b.second", Verdict.PASS)])

    declared("a.first", lambda *_, **__: Answer([finding("a.first", Verdict.PASS)]))
    declared("b.second", look)
    audit(classifier(), colors(), tmp_path, checks=["a", "b"])
    assert seen == [("running", ["a.first"], True)]
    assert "b.second" in (tmp_path / "report.html").read_text()


def test_an_interrupted_audit_keeps_what_it_found_and_its_report(declared, tmp_path):
    def interrupt(*_args, **_settings):
        raise KeyboardInterrupt

    declared("a.first", lambda *_, **__: Answer([finding("a.first", Verdict.PASS)]))
    declared("b.second", interrupt)
    with pytest.raises(KeyboardInterrupt):
        audit(classifier(), colors(), tmp_path, checks=["a", "b"])
    held = read_audit(tmp_path)
    assert (held.status, [f.check for f in held.findings]) == ("interrupted", ["a.first"])
    assert '"status":"interrupted"' in (tmp_path / "report.html").read_text()


def test_later_checks_join_the_report(tmp_path):
    first = audit(classifier(), colors(), tmp_path, checks=["performance"], command="first")
    second = audit(classifier(), colors(), tmp_path, checks=["data.balance", "performance.accuracy"], command="second")
    together = audit(classifier(), colors(), checks=["performance", "data.balance"])
    assert findings_to_json(second.findings) == findings_to_json(together.findings)
    assert second.guides.keys() == together.guides.keys() == second.durations.keys()
    assert second.command == "first\nsecond"
    assert second.seconds >= first.durations["performance.calibration"]
    assert audit_to_json(read_audit(tmp_path)) == audit_to_json(second)


def test_what_another_version_found_does_not_join_the_report(tmp_path):
    audit(classifier(), colors(), tmp_path, checks=["performance"])
    held = json.loads((tmp_path / "audit.json").read_text())
    held["environment"]["deeptroubles"] = "0.0.1"
    (tmp_path / "audit.json").write_text(json.dumps(held))
    later = audit(classifier(), colors(), tmp_path, checks=["data.balance"])
    assert {f.check for f in later.findings} == {"data.balance"}


def test_a_second_audit_of_a_folder_is_refused_while_the_first_one_runs(declared, tmp_path):
    refused = []

    def audit_again(*_args, **_settings):
        with pytest.raises(RunFolderError) as error:
            audit(classifier(), colors(), tmp_path, checks=["data.balance"])
        refused.append(str(error.value))
        return Answer([finding("a.first", Verdict.PASS)])

    declared("a.first", audit_again)
    result = audit(classifier(), colors(), tmp_path, checks=["a.first"])
    assert [f.verdict for f in result.findings] == [Verdict.PASS], result.findings
    assert refused == [
        f"Another audit is writing to {tmp_path}; wait until it ends, or choose another folder with --out."
    ]


def test_findings_are_ordered_worst_first(declared):
    order = [
        ("z.b", Verdict.FAIL, 0.2),
        ("z.a", Verdict.FAIL, 0.1),
        ("z.c", Verdict.FAIL, 0.1),
        ("y.a", Verdict.WARN, 1.0),
        ("x.a", Verdict.INCONCLUSIVE, 0.0),
        ("w.a", Verdict.PASS, 0.9),
        ("a.a", Verdict.SKIPPED, 1.0),
    ]
    for name, verdict, severity in reversed(order):
        found = Answer([finding(name, verdict, severity)])
        declared(name, lambda *_, found=found, **__: found)
    result = audit(classifier(), colors(), checks=[name for name, *_ in order])
    assert [f.check for f in result.findings] == [name for name, *_ in order]
    assert list(result.verdicts()) == [v for v in Verdict if v != Verdict.ERROR]


def test_one_row_per_readable_image(tmp_path):
    folder = write(colors(), tmp_path / "images")
    (folder / "red" / "broken.png").write_bytes(b"no picture")
    model = classifier()
    audit(model, load_images(folder), tmp_path / "run", checks=["performance.accuracy"])
    table = pd.read_parquet(tmp_path / "run" / "tables" / "images.parquet")
    assert len(table) == 12
    assert "red/broken.png" not in set(table["path"])
    model.eval()
    for row in table.itertuples():
        pixels = model.prepare(Image.open(folder / row.path))
        with torch.no_grad():
            probabilities = model(pixels[None]).softmax(1)[0]
        assert row.prediction == NAMES[int(probabilities.argmax())]
        assert np.isclose(row.probability, float(probabilities.max()), atol=1e-5)
        assert row.true_class == row.label == row.path.split("/")[0]
        assert row.correct == (row.prediction == row.true_class)


def test_without_labels_nothing_is_called_right_or_wrong(tmp_path):
    images = ImageSet.from_arrays(np.zeros((2, SIZE, SIZE, 3), dtype=np.uint8), columns={"group": ["a", "b"]})
    result = audit(classifier(), images, tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "tables" / "images.parquet")
    assert table["correct"].isna().all()
    assert table["true_class"].isna().all()
    assert table["group"].tolist() == ["a", "b"]
    skipped = {f.check for f in result.findings if f.verdict == Verdict.SKIPPED}
    skipped -= {"stability.corruption", "data.geography"}  # which need larger images than these, and places
    assert skipped == {name for name, check in all_checks().items() if check.needs and not check.on_request}


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_batch_size_changes_no_verdict(batch_size):
    first, second = (audit(classifier(), colors(), checks=CHECKS, batch_size=n) for n in (32, batch_size))
    assert [(f.check, f.verdict) for f in first.findings] == [(f.check, f.verdict) for f in second.findings]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first, second = (audit(classifier(), colors(), out, checks=CHECKS, seed=7) for out in (None, tmp_path / "run"))
    assert audit_to_json(alike(first)) == audit_to_json(alike(second))


def test_another_seed_is_another_run(tmp_path):
    audit(classifier(), colors(), tmp_path, checks=["performance"])
    with pytest.raises(RunFolderError, match="different seed"):
        audit(classifier(), colors(), tmp_path, seed=1)


# --- what it survives


def test_a_check_that_crashes_is_an_error_and_the_others_go_on(declared, tmp_path):
    def crash(*_args, **_settings):
        raise ZeroDivisionError("no luck [today]")

    declared("aaa.crashes", crash)
    plain = audit(classifier(), colors(), checks=["performance"])
    result = audit(classifier(), colors(), tmp_path, checks=["aaa", "performance"])
    (error,) = (f for f in result.findings if f.verdict == Verdict.ERROR)
    assert error.check == "aaa.crashes"
    assert "ZeroDivisionError: no luck [today] (test_audit.py, line" in error.claim
    assert str(Path(__file__).parent) not in error.claim
    others = [f for f in result.findings if f is not error]
    assert findings_to_json(others) == findings_to_json(plain.findings)
    assert audit_to_json(read_audit(tmp_path)) == audit_to_json(result)


def test_a_check_that_crashes_when_it_judges_is_an_error_too(declared):
    class Unjudged:
        def findings(self):
            yield finding("aaa.judges", Verdict.PASS)
            raise RuntimeError("late")

    declared("aaa.judges", lambda *_, **__: Unjudged())
    (error,) = audit(classifier(), colors(), checks=["aaa"]).findings
    assert error.verdict == Verdict.ERROR


def test_what_a_check_draws_does_not_reach_the_next(declared):
    declared("aaa.draws", lambda *_, **__: Answer([finding("aaa.draws", Verdict.PASS, float(torch.rand(1)))]))
    declared("aab.draws", lambda *_, **__: Answer([finding("aab.draws", Verdict.PASS, float(torch.rand(1)))]))
    first, second = audit(classifier(), colors(), checks=["aaa", "aab"]).findings
    assert first.severity == second.severity


def test_a_full_disk_stops_the_audit(tmp_path, monkeypatch):
    real = os.replace

    def full(source, target):
        if len(chunks(tmp_path)) >= 2:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunFolderError, match="The disk is full"):
        audit(classifier(), colors(), tmp_path, checks=CHECKS)
    assert not [p for p in tmp_path.rglob(".*") if p.is_file()]
    monkeypatch.setattr(os, "replace", real)
    before = chunks(tmp_path)
    result = audit(classifier(), colors(), tmp_path, checks=CHECKS)
    assert before.items() <= chunks(tmp_path).items()
    assert audit_to_json(alike(result)) == audit_to_json(alike(audit(classifier(), colors(), checks=CHECKS)))


def test_unreadable_images_are_counted_and_listed(tmp_path):
    folder = write(colors(), tmp_path)
    (folder / "green" / "empty.jpg").write_bytes(b"")
    (folder / "red" / "text.png").write_text("a letter")
    result = audit(classifier(), load_images(folder), checks=["performance.accuracy", "stability.translation"])
    assert [(u.path, u.reason) for u in result.images.unreadable] == [
        ("green/empty.jpg", "the file is empty"),
        ("red/text.png", "it is not an image in a known format"),
    ]
    assert (result.images.count, result.images.labelled) == (14, 12)
    clean = audit(classifier(), colors(), checks=["performance.accuracy", "stability.translation"])
    assert [(f.check, f.verdict) for f in result.findings] == [(f.check, f.verdict) for f in clean.findings]


def test_labels_that_match_no_class_are_listed():
    result = audit(classifier(), colors(labels=("red", "mauve", "blue")), checks=["performance.accuracy"])
    assert result.images.unmatched_labels == {"mauve": 4}
    assert (result.images.labelled, result.images.classes) == (8, 2)
    warning, accuracy = result.findings
    assert (warning.check, warning.verdict) == ("data.classes", Verdict.WARN)
    assert "on 8 labelled images" in accuracy.claim


# --- what it refuses


def test_no_readable_image_at_all(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ImagesError, match=r"None of the 2 images.*a\.png: the file is empty"):
        audit(classifier(), load_images(tmp_path))


def test_an_image_on_which_the_model_answers_nan_is_named():
    images = np.full((5, SIZE, SIZE, 3), 100, dtype=np.uint8)
    images[3] = 255
    model = formula(lambda x: x.mean((2, 3)) / (x.amin((1, 2, 3), keepdim=False)[:, None] < 1), SIZE, 3)
    with pytest.raises(ModelError, match=r"NaN or infinity for 1 of 5 images \(the first is image 3\)"):
        audit(model, ImageSet.from_arrays(images))


def test_an_unknown_check_is_refused_before_anything_is_computed(tmp_path):
    with pytest.raises(UsageError, match=r"no check 'performance.acuracy'. Did you mean performance.accuracy"):
        audit(classifier(), colors(), tmp_path / "run", checks=["performance.acuracy"])
    assert not (tmp_path / "run").exists()


# --- going on after an interruption


def factory(folder: Path):
    """The classifier that a subprocess in that folder would make; with the number of calls of its model."""
    spec = importlib.util.spec_from_file_location("slow", folder / "slow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, calls = module.make(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    return model, calls


@pytest.fixture
def place(tmp_path):
    (tmp_path / "slow.py").write_text(MODEL)
    write(colors(), tmp_path / "images")
    return tmp_path


HEEDS_INTERRUPTION = """
import signal
from deeptroubles.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command line, also where the tests ignore SIGINT, as all that a shell starts in the background does."""


def interrupted(place: Path, how: signal.Signals, after: int = 4) -> subprocess.CompletedProcess[str]:
    """Start an audit and send it a signal when it has kept some chunks."""
    command = [
        sys.executable,
        "-c",
        HEEDS_INTERRUPTION,
        "audit",
        "slow:make",
        "--images",
        "images",
        "--out",
        "run",
        "--device",
        "cpu",
        "--checks",
        ",".join(CHECKS),
    ]
    environment = os.environ | {"PAUSE": "0.02", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(chunks(place / "run")) < after:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def is_resumed(place: Path) -> None:
    """The same audit again: what is there is not computed again, and it ends as if nothing had happened."""
    code_fingerprint.cache_clear()  # the other process read the sources just now; they may have changed since
    before = chunks(place / "run")
    model, calls = factory(place)
    images = load_images(place / "images")
    result = audit(model, images, place / "run", checks=CHECKS)
    resumed = len(calls)
    assert before.items() <= chunks(place / "run").items()
    assert len(before) < len(chunks(place / "run"))
    calls.clear()
    whole = audit(model, images, place / "whole", checks=CHECKS)
    assert 0 < resumed < len(calls)
    assert chunks(place / "run").keys() == chunks(place / "whole").keys()
    assert (
        audit_to_json(alike(read_audit(place / "run"))) == audit_to_json(alike(whole)) == audit_to_json(alike(result))
    )


def test_a_killed_audit_is_resumed(place):
    assert interrupted(place, signal.SIGKILL).returncode == -signal.SIGKILL
    is_resumed(place)


def test_an_audit_that_is_interrupted_says_so_and_is_resumed(place):
    done = interrupted(place, signal.SIGINT)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "Interrupted. Run the same command again to resume."
    assert "performance.accuracy" in done.stdout
    assert "Report of the checks that were complete: run/report.html" in done.stdout
    assert not [p for p in (place / "run").rglob(".*") if p.is_file()]
    is_resumed(place)


def test_a_second_run_computes_nothing(tmp_path):
    model, calls = classifier(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    first = audit(model, colors(), tmp_path, checks=CHECKS)
    assert calls
    calls.clear()
    second = audit(model, colors(), tmp_path, checks=CHECKS)
    assert not calls
    assert audit_to_json(alike(first)) == audit_to_json(alike(second))


def test_more_checks_can_be_asked_in_the_same_folder(tmp_path):
    model, calls = classifier(), []
    audit(model, colors(), tmp_path, checks=["stability.translation"])
    model.register_forward_hook(lambda *_: calls.append(1))
    more = ["performance.accuracy", "performance.calibration", "stability.translation"]
    audit(model, colors(), tmp_path, checks=more)
    assert not calls  # accuracy and calibration read the recording only


def test_a_classifier_that_differs_in_one_weight_is_another_run(tmp_path):
    audit(seeded(0), colors(), tmp_path, checks=["performance"])
    with pytest.raises(RunFolderError, match="different model"):
        audit(seeded(1), colors(), tmp_path, checks=["performance"])


def seeded(seed: int) -> Classifier:
    return Classifier(Plain(classes=3, seed=seed), size=SIZE, class_names=NAMES)
