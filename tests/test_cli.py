"""The command line as a person meets it: what is printed, what is written, and the exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from deeptroubles import Verdict, read_audit
from deeptroubles.checks.registry import all_checks, chosen_checks
from deeptroubles.cli import main
from deeptroubles.commands import console as console_module
from deeptroubles.commands.audit import print_findings
from deeptroubles.commands.fail_on import read_fail_on
from deeptroubles.findings import Audit, Estimate, Finding, ImageFacts, ModelFacts, Reference, audit_from_json
from deeptroubles.methods.catalogue import ATTRIBUTION, METHODS
from deeptroubles.models import SOURCES
from deeptroubles.run.origin import read_origin

NAMES = ("red", "green", "blue")
SIZE = 14
MODELS = f"""
import torch
from torch import nn
from deeptroubles import Classifier

class Colors(nn.Module):
    def __init__(self, change=lambda y: y):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.conv.weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, 3, 3) / 9
        self.conv.bias.data = torch.zeros(3)
        self.head = nn.Linear(3, 3, bias=False)
        self.head.weight.data = torch.eye(3) * 9
        self.change = change

    def forward(self, x):
        return self.change(self.head(self.conv(x).relu().mean((2, 3))))

class Jumpy(Colors):
    def forward(self, x):
        return super().forward(x) if x.sum() > -1e9 else x.mean((2, 3))

def wrapped(module):
    return Classifier(module, size={SIZE}, class_names={NAMES!r}, name="colors")

def make(): return wrapped(Colors())
def jumpy(): return wrapped(Jumpy())
def wrong(): return wrapped(Colors(lambda y: -y))
def bare(): return Colors()
def pair(): return Colors(lambda y: (y, y))
def table(): return Colors(lambda y: {{"scores": y}})
def sure(): return Colors(lambda y: y.softmax(1))
def nan(): return Colors(lambda y: y * float("nan"))
def dark(): return wrapped(Colors(lambda y: y / (y.sum(1, keepdim=True) > 1)))
def flat(): return wrapped(nn.Sequential(nn.Flatten(), nn.Linear({3 * SIZE * SIZE}, 3)))
def crashes(): raise OSError("weights are missing")
def number(): return 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with models and images, as the current one; its Python modules are forgotten afterwards."""
    (tmp_path / "color_models.py").write_text(MODELS)
    random = np.random.default_rng(0)
    for i in range(12):
        array = random.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
        array[..., i % 3] += np.uint8(120)
        place = tmp_path / "images" / NAMES[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(place / f"{i:02d}.png")
    known, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def run(here, monkeypatch, capsys):
    """Run a command and give its exit code, what it printed and what it complained."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["deeptroubles", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, without_progress(err)

    return command


def by_default():
    """The names of the checks that run when none are named."""
    return {check.name for check in chosen_checks(None)}


def without_progress(err: str) -> str:
    """What the standard error says beside the lines that tell what a command is doing."""
    doing = re.compile(r"(Loading PyTorch|Loading the model|[a-z]+\.[a-z_]+ +[a-z]+ +[0-9.]+ s)\n")
    return "".join(line for line in err.splitlines(keepends=True) if not doing.fullmatch(line))


def audit_of(model="color_models:make", *more, images="images", out="run"):
    return ("audit", model, "--images", images, "--out", out, "--device", "cpu", *more)


def explain_of(*more, model="color_models:make", image="images/red/00.png"):
    return ("explain", model, image, "--device", "cpu", *more)


# --- stylize, and what it makes


def test_stylized_images_are_a_conflict_of_cues(run, here):
    code, said, _ = run("stylize", "--images", "images", "--styles", "images", "--out", "conflict")
    assert code == 0
    assert "12 images: conflict" in said
    assert len(list((here / "conflict").glob("*/*-*.png"))) == 12
    asked = audit_of("color_models:make", "--checks", "reliance.texture", "--conflict")
    code, said, _ = run(*asked, "conflict")
    assert code == 0
    assert "Shape bias" in said
    assert "of 12 cue-conflict images" in read_audit(here / "run").findings[0].claim


def test_units_say_how_to_look_at_them_and_where_they_came_from(run, here):
    """`deeptroubles serve RUN` can open the model again."""
    code, said, _ = run("units", "color_models:make", "--images", "images", "--out", "my run", "--device", "cpu")
    assert code == 0
    assert said.strip() == "To look at them: deeptroubles serve 'my run'"
    origin = json.loads((here / "my run" / "origin.json").read_text())
    assert (origin["model"], origin["images"]) == ("color_models:make", str(here / "images"))
    assert (here / "my run" / "units" / "catalogue.json").is_file()


def test_images_without_two_cues_in_their_names_are_told(run):
    code, _, complained = run(*audit_of("color_models:make", "--conflict", "images"))
    assert code == 2
    assert "such as red-green" in complained
    code, _, complained = run(
        "stylize", "--images", "images", "--styles", "images", "--out", "o", "--method", "surface"
    )
    assert code == 2
    assert "needs masks" in complained


# --- audit


def test_an_audit_prints_a_table_and_writes_a_report(run, here):
    code, out, err = run(*audit_of())
    assert (code, err) == (0, "")
    rows = [line for line in out.splitlines() if re.match(r"^ ?[✖!▲?✔–] ", line)]
    assert [row.split()[2] for row in rows] == [f.check for f in read_audit(here / "run").findings]
    assert by_default() == {row.split()[2] for row in rows}
    assert "Accuracy is 100%" in out  # the cell is wrapped
    assert "12 images, 12 with a known class." in out
    assert out.rstrip().endswith(f"Report: {Path('run', 'report.html')}")
    assert (here / "run" / "report.html").read_text().startswith("<!doctype html>")
    assert not list(here.glob("run/**/.*"))


def test_the_command_is_in_the_audit(run, here):
    run(*audit_of("color_models:make", "--checks", "performance.accuracy", out="the run"))
    assert read_audit(here / "the run").command == (
        "deeptroubles audit color_models:make --images images --out 'the run' --device cpu "
        "--checks performance.accuracy"
    )


def test_nothing_but_plain_text_when_nobody_watches(run):
    for arguments in (audit_of(), explain_of(), ("checks",), ("nonsense",), audit_of("nothing")):
        _, out, err = run(*arguments)
        assert "\x1b" not in out + err
        assert "\r" not in out + err


def test_json_is_the_audit_and_nothing_else(run, here):
    code, out, err = run(*audit_of("color_models:make", "--json"))
    assert (code, err) == (0, "")
    result = audit_from_json(out)
    assert result.model.name == "colors"
    assert {f.check for f in result.findings} == by_default()
    assert (here / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("performance.accuracy", {"performance.accuracy"}),
        ("performance", {n for n in all_checks() if n.startswith("performance.")}),
        ("performance.accuracy, reliance", {"performance.accuracy", "reliance.occlusion_gain"}),
    ],
)
def test_some_checks_only(run, asked, answered):
    code, out, _ = run(*audit_of("color_models:make", "--json", "--checks", asked))
    assert code == 0
    found = {f.check for f in audit_from_json(out).findings}
    assert found == {name for name in all_checks() if name in answered or name.split(".")[0] in asked.split(", ")}


@pytest.mark.parametrize(
    ("model", "fail_on", "expected"),
    [("make", "fail", 0), ("make", "warn", 0), ("wrong", "fail", 1), ("wrong", "warn", 1), ("wrong", None, 0)],
)
def test_the_exit_code_tells_of_trouble_when_asked_to(run, here, model, fail_on, expected):
    more = ("--fail-on", fail_on) if fail_on else ()
    code, out, err = run(*audit_of(f"color_models:{model}", "--checks", "performance.accuracy", *more))
    assert (code, err) == (expected, "")
    assert ("✖ fail" in out) == (model == "wrong")
    assert (here / "run" / "report.html").is_file()


FINDINGS = [
    Finding(check="data.balance", verdict=Verdict.WARN, claim="c", criterion=""),
    Finding(check="performance.accuracy", verdict=Verdict.PASS, claim="c", criterion=""),
    Finding(check="adversarial.patch", verdict=Verdict.FAIL, claim="c", criterion="", common=True),
]


@pytest.mark.parametrize(
    ("text", "trips"),
    [
        ("fail", False),
        ("warn", True),
        ("warn:performance", False),
        ("warn:performance, data.balance", True),
        ("fail:data", False),
        ("fail:adversarial", True),
        ("fail:adversarial.patch", True),
        ("fail:adversarial.targeted", False),
    ],
)
def test_problems_of_nearly_every_network_count_only_where_they_are_named(text, trips):
    assert read_fail_on(text).trips(FINDINGS) == trips


def test_findings_that_are_common_are_printed_apart(capsys, monkeypatch):
    monkeypatch.setattr("deeptroubles.commands.audit.out", Console(width=160))
    references = [
        Reference(name="Net-A", value=0.93, source="s", date="d"),
        Reference(name="B", value=0.05, source="s", date="d"),
    ]
    estimate = Estimate(label="Broken", value=1, low=0.8, high=1, n=16, references=references)
    model = ModelFacts(name="m", source="s", fingerprint="f", classes=2, parameters=3, input="i", preprocessing="p")
    images = ImageFacts(name="i", fingerprint="g", count=4, labelled=2, classes=2)
    result = Audit(
        status="complete",
        created="",
        seconds=1,
        command="",
        seed=0,
        environment={},
        model=model,
        images=images,
        findings=[*FINDINGS[:2], replace(FINDINGS[2], evidence=[estimate])],
        guides={},
    )
    print_findings(result)
    lines = capsys.readouterr().out.splitlines()
    apart = lines.index("True of nearly every network that was not trained against it:")
    assert "adversarial.patch" in "".join(lines[apart:])
    assert "adversarial" not in "".join(lines[:apart])
    assert any(line.strip() == "For comparison: Net-A 93%, B 5%." for line in lines[apart:])


def test_each_check_has_a_plain_line_when_it_ends(here, run, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["deeptroubles", *audit_of("color_models:make", "--checks", "performance,data.balance")]
    )
    with pytest.raises(SystemExit):
        main()
    lines = [line for line in capsys.readouterr().err.splitlines() if re.match(r"[a-z]+\.", line)]
    assert [line.split()[0] for line in lines] == [
        "data.balance",
        "performance.accuracy",
        "performance.baseline",
        "performance.calibration",
        "performance.lookalikes",
        "performance.out_of_distribution",
        "performance.preprocessing",
    ]
    verdicts = {f.check: f.verdict for f in read_audit(here / "run").findings}
    for line in lines:
        name, verdict, seconds, unit = line.split()
        assert (verdict, unit) == (verdicts[name], "s")
        assert float(seconds) >= 0


def test_checks_can_be_left_out_and_joined_later(run, here):
    assert run(*audit_of("color_models:make", "--checks", "performance", "--skip", "performance.accuracy"))[0] == 0
    code, out, _ = run(*audit_of("color_models:make", "--checks", "performance.accuracy", "--json"))
    assert code == 0
    names = ("accuracy", "baseline", "calibration", "lookalikes", "out_of_distribution", "preprocessing")
    checks = {f"performance.{name}" for name in names}
    assert {f.check for f in audit_from_json(out).findings} == checks
    report = (here / "run" / "report.html").read_text()
    assert all(f'"check":"{name}"' in report for name in checks)


def relabelled(here, **names):
    """Give the folders of the images other names."""
    for old, new in names.items():
        (here / "images" / old).rename(here / "images" / new)


def test_labels_that_match_no_class_are_told_with_both_lists_and_the_option(run, here):
    relabelled(here, **{name: f"{name[0]}x" for name in NAMES})
    code, out, err = run(*audit_of("color_models:make", "--checks", "performance", "--fail-on", "fail"))
    assert (code, err) == (1, "")
    out = " ".join(out.split())
    for word in (*NAMES, *(f"{name[0]}x" for name in NAMES), "--classes", "data.classes"):
        assert word in out


def test_where_nothing_could_be_judged_the_exit_code_says_so(run, here):
    arguments = audit_of("color_models:make", "--checks", "reliance.cue")
    assert run(*arguments)[0] == 0
    code, _, err = run(*arguments, "--fail-on", "fail")
    assert code == 2
    assert "No check came to a verdict" in err


def test_options_reach_the_model(run, here):
    (here / "names.txt").write_text("\n".join(NAMES))
    code, out, _ = run(
        *audit_of(
            "color_models:bare",
            "--size",
            "10x12",
            "--mean",
            "0.1,0.2,0.3",
            "--std",
            "0.5",
            "--classes",
            "names.txt",
            "--json",
            "--checks",
            "performance.accuracy",
        )
    )
    assert code == 0
    result = audit_from_json(out)
    assert result.model.input == "3 x 10 x 12"
    assert "(pixels - [0.1, 0.2, 0.3]) / [0.5, 0.5, 0.5]" in result.model.preprocessing
    assert result.images.labelled == 12


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("pair", ["--output", "1"]),
        ("table", ["--output", "scores"]),
        ("sure", ["--outputs", "probabilities"]),
        ("sure", []),
    ],
)
def test_answers_of_other_forms_can_be_read(run, here, model, options):
    (here / "names.txt").write_text("\n".join(NAMES))
    options = (*options, "--size", SIZE, "--classes", "names.txt", "--checks", "performance.accuracy", "--json")
    code, out, err = run(*audit_of(f"color_models:{model}", *options))
    assert (code, err) == (0, "")
    assert "Accuracy is 100%" in audit_from_json(out).findings[0].claim


def test_the_same_command_goes_on_and_another_is_refused(run):
    quick = ("--checks", "performance")
    assert run(*audit_of("color_models:make", *quick))[0] == 0
    assert run(*audit_of("color_models:make", *quick))[0] == 0
    code, _, err = run(*audit_of("color_models:wrong", *quick, "--size", "12"))
    assert code == 2
    assert "holds another run (different model)" in err


# --- what is wrong is told in a sentence


def told(result, sentence):
    """One sentence for people, no traceback, nothing on standard output."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert re.search(sentence, err), err
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (audit_of("efficientnet-lite1"), "'efficientnet-lite1' is not a model.*Did you mean efficientnet-lite0"),
        (audit_of("color_models:mke"), "no function mke.*Did you mean make"),
        (audit_of("color_model:make"), "no Python module color_model"),
        (audit_of("color_models.py:make"), r"without \.py: color_models:make"),
        (audit_of("color_models:crashes"), "OSError: weights are missing"),
        (audit_of("color_models:number"), "returned an object of type int"),
        (audit_of("nowhere.ts", "--size", "8"), r"nowhere\.ts"),
        (audit_of("model.onnx"), r"no file model\.onnx"),
        (audit_of("color_models:bare"), "--size"),
        (audit_of("color_models:pair", "--size", "14"), "a tuple of 2 entries.*--output"),
        (audit_of("color_models:table", "--size", "14"), "a dictionary with 'scores'.*--output"),
        (audit_of("color_models:pair", "--size", "14", "--output", "7"), "no entry 7"),
        (audit_of("color_models:make", "--outputs", "probabilities"), "does not return probabilities"),
        (audit_of("color_models:nan", "--size", "14"), "NaN or infinity for a plain gray image"),
        (audit_of("color_models:dark", images="some"), r"NaN or infinity for 1 of 5 images \(the first is dark\.png\)"),
        (audit_of("color_models:make", "--checks", "performance.acuracy"), "Did you mean performance.accuracy"),
        (audit_of("color_models:make", "--checks", "perfromance"), "Did you mean performance"),
        (audit_of("color_models:make", "--skip", "perfromance"), "Did you mean performance"),
        (audit_of("color_models:make", "--checks", "data.balance", "--skip", "data"), "No check is left to run"),
        (audit_of("color_models:make", "--fail-on", "pass"), "--fail-on does not take 'pass'; write fail, warn"),
        (audit_of("color_models:make", "--fail-on", "fail:"), "--fail-on does not take 'fail:'"),
        (audit_of("color_models:make", "--fail-on", "fail:dta"), "no check 'dta'. Did you mean data"),
        (audit_of("color_models:make", "--size", "big"), "'big' is not a size"),
        (audit_of("color_models:make", "--size", "0"), "'0' is not a size"),
        (audit_of("color_models:make", "--size", "-8"), "'-8' is not a size"),
        (audit_of("color_models:make", "--size", "8x8x8"), "'8x8x8' is not a size"),
        (audit_of("color_models:make", "--size", "9999999"), "--size"),
        (audit_of("color_models:make", "--mean", "a,b,c"), "'a,b,c' is not a comma-separated list of numbers"),
        (audit_of("color_models:make", "--mean", "0.5,0.5"), "mean has 2 values for 3 channels"),
        (audit_of("color_models:make", "--mean", "nan"), "mean"),
        (audit_of("color_models:make", "--std", "0"), "std must be above 0"),
        (audit_of("color_models:make", "--std", "nan"), "std"),
        (audit_of("color_models:make", "--channels", "1"), "mean has 3 values for 1 channels"),
        (audit_of("color_models:make", "--classes", "nowhere.txt"), "nowhere.txt cannot be read"),
        (audit_of("color_models:make", "--classes", "two.txt"), "3 outputs but 2 class names"),
        (audit_of("color_models:make", "--classes", "images"), "cannot be read"),
        (audit_of("color_models:make", "--weights", "weights.pt"), r"no weights file weights\.pt"),
        (audit_of("color_models:make", "--device", "cuda:77"), "'cuda:77' is not available here; use --device cpu"),
        (audit_of("color_models:make", "--device", "toaster"), "'toaster' is not available here"),
        (audit_of("color_models:make", "--device", "meta"), "'meta' is not available here"),
        (audit_of("color_models:make", "--device", "hpu"), "'hpu' is not available here"),
        (audit_of(images="nowhere"), "nothing at nowhere"),
        (audit_of(images="image"), "nothing at image.*Did you mean images"),
        (audit_of(images="empty"), "no images in empty"),
        (audit_of(images="broken"), r"None of the 2 images could be read.*the file is empty"),
        (audit_of(images="color_models.py"), "not a kind of file"),
        (audit_of(out="a file"), "a file exists and is not a run"),
        (audit_of(out="a file/run"), "cannot be written"),
        (audit_of(out="images"), "images exists and is not a run of deeptroubles; choose another folder with --out"),
        (audit_of(out="x" * 300), "choose another"),
        (explain_of("--method", "gradcam"), "no method 'gradcam'. Did you mean grad_cam"),
        (explain_of("--target", "rad"), "no class 'rad'; give a name, or an index from 0 to 2. Did you mean red"),
        (explain_of("--target", "3"), "no class '3'"),
        (explain_of("--layer", "con"), "no layer 'con'"),
        (explain_of("--layer", ":mean"), "has no positions"),
        (explain_of("--method", "occlusion", "--layer", "conv"), "occlusion has no layer"),
        (explain_of("--out", "images"), "cannot be written"),
        (explain_of(image="nowhere.png"), "nothing at nowhere.png"),
        (explain_of(image="broken/a.png"), "the file is empty"),
        (("help", "grad-cam"), "no command, check or method 'grad-cam'. Did you mean grad_cam"),
        (("help", "aduit"), "no command, check or method 'aduit'. Did you mean audit"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_bad_input_is_told_in_one_sentence(run, here, arguments, sentence):
    (here / "empty").mkdir()
    (here / "broken").mkdir()
    for name in ("a.png", "b.jpg"):
        (here / "broken" / name).write_bytes(b"")
    (here / "some").mkdir()
    for i in range(4):
        shutil.copy(here / "images" / "red" / "00.png", here / "some" / f"{i}.png")
    Image.new("RGB", (SIZE, SIZE)).save(here / "some" / "dark.png")
    (here / "two.txt").write_text("red\ngreen")
    (here / "a file").write_text("x")
    told(run(*arguments), sentence)
    assert (here / "a file").read_text() == "x"
    assert not (here / "images" / "run.json").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("audit", "color_models:make", "--images", "images"), "--out"),
        (("audit", "color_models:make", "--out", "run"), "--images"),
        (("audit", "--images", "images", "--out", "run"), "model"),
        (audit_of("color_models:make", "--nonsense"), "--nonsense"),
        (audit_of("color_models:make", "--batch-size", "0"), "--batch-size"),
        (audit_of("color_models:make", "--seed", "x"), "--seed"),
        (audit_of("color_models:make", "--seed", "-1"), "--seed"),
        (audit_of("color_models:make", "--channels", "0"), "--channels"),
        (("explain", "color_models:make"), "image"),
        (("audt",), "audt"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_told_how_it_goes(run, arguments, word):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert word in err
    assert "Traceback" not in err
    assert "bug" not in err


@pytest.mark.filterwarnings("default")
def test_a_model_that_cannot_be_traced_is_noted_in_one_line(run, here):
    code, out, err = run(*explain_of(model="color_models:jumpy"))
    assert code == 0
    assert "Picture: 00.grad_cam.png" in out
    (line,) = err.splitlines()
    assert line.startswith("Note: colors could not be traced (")
    assert line.endswith("methods that need the graph are not available.")


def test_a_bug_shows_where_it_is_and_exits_with_3(run, monkeypatch):
    def broken(*_args, **_settings):
        raise RuntimeError("impossible")

    monkeypatch.setattr("deeptroubles.workflows.audit.write_report", broken)
    code, _, err = run(*audit_of("color_models:make", "--checks", "performance.accuracy"))
    assert code == 3
    assert "Traceback" in err
    assert "RuntimeError: impossible" in err
    assert "This is an internal error of deeptroubles; please report it" in err


def test_control_c_exits_with_130(run, monkeypatch):
    def interrupted(*_args, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("deeptroubles.workflows.audit.audit", interrupted)
    assert run(*audit_of()) == (130, "", "Interrupted. Run the same command again to resume.\n")


# --- every kind of file that lies in folders


def png(width: int, height: int) -> bytes:
    """A black picture of one bit a pixel, written line by line: even a huge one is a small file."""
    packer, body = zlib.compressobj(1), b""
    line = bytes(1 + -(-width // 8))
    for _ in range(height):
        body += packer.compress(line)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", body + packer.flush()),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def wild(folder: Path) -> dict[str, str]:
    """Fill a folder; give the files that nobody can read, with the reason."""
    y, x = np.mgrid[0:20, 0:30]
    photo = Image.fromarray(np.stack([x * 8, y * 12, np.full_like(x, 90)], -1).astype(np.uint8))
    folder.mkdir()
    photo.save(folder / "plain.jpg")
    photo.convert("L").save(folder / "gray.png")
    photo.convert("RGBA").save(folder / "rgba.png")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    photo.convert("P").save(folder / "palette.png")
    Image.fromarray((x * 2000).astype(np.uint16)).save(folder / "16 bit.png")
    photo.save(folder / "moving.gif", save_all=True, append_images=[photo.rotate(180)])
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=turned)
    photo.save(folder / "größe 写真 [1] & (2).webp")
    photo.save(folder / "UPPER.JPG")
    (folder / "below").mkdir()
    photo.save(folder / "below" / "plain.jpg")
    (folder / "notes.txt").write_text("no image")
    whole = (folder / "plain.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("I am not a photograph.")
    (folder / "huge.png").write_bytes(png(20_000, 20_000))
    return {
        "cut.jpg": "the file is cut short",
        "empty.jpg": "the file is empty",
        "text.jpg": "it is not an image in a known format",
        "huge.png": "20000 x 20000 pixels is more than the limit of 200 megapixels",
    }


def test_a_folder_of_every_kind_of_file(run, here):
    unreadable = wild(here / "wild")
    code, out, err = run(*audit_of(images="wild"))
    assert (code, err) == (0, "")
    assert "15 images, 0 with a known class, 4 unreadable." in out
    result = read_audit(here / "run")
    assert {u.path: u.reason for u in result.images.unreadable} == unreadable
    assert not [f for f in result.findings if f.verdict == "error"]
    report = (here / "run" / "report.html").read_text()
    assert all(name in report for name in unreadable)


@pytest.mark.skipif(sys.platform != "linux", reason="only there may names be any bytes")
def test_file_names_that_are_no_text(run, here):
    for i, name in enumerate([b"caf\xe9.png", b"\xff\xfe.png"]):
        shutil.copy(here / "images" / "red" / f"{3 * i:02d}.png", os.fsencode(here / "images" / "red") + b"/" + name)
    (here / "images" / "red" / os.fsdecode(b"empty \xe9.png")).write_bytes(b"")
    code, out, err = run(*audit_of())
    assert (code, err) == (0, "")
    assert "15 images, 14 with a known class, 1 unreadable" in out
    assert run(*explain_of(image="images/red/" + os.fsdecode(b"caf\xe9.png")))[0] == 0


# --- explain


@pytest.mark.parametrize("method", ATTRIBUTION)
def test_every_method_draws_a_picture(run, here, method):
    code, out, err = run(*explain_of("--method", method))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[1] == "red"
    assert sum(float(line.split("%")[0]) for line in lines[:3]) == pytest.approx(100, abs=0.2)
    assert lines[-1] == f"Picture: 00.{method}.png"
    with Image.open(here / f"00.{method}.png") as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 500


@pytest.mark.parametrize("target", ["blue", "BLUE", "2"])
def test_another_class_and_another_place(run, here, target):
    code, out, _ = run(*explain_of("--target", target, "--layer", "conv", "--out", "deep/er/map.png"))
    assert code == 0
    assert out.rstrip().endswith(f"Picture: {Path('deep/er/map.png')}")
    assert (here / "deep" / "er" / "map.png").stat().st_size > 1000


def test_a_folder_is_drawn_as_one_sheet(run, here):
    (here / "images" / "blue" / "0 first.png").write_text("no picture")
    code, out, err = run(*explain_of("--method", "saliency", image="images"))
    assert (code, err) == (0, "")
    assert "Drawn: 8 of 13 images, the first that can be read." in out
    assert (here / "images.saliency.png").exists()


# --- the lists


def test_the_lists_list_everything(run):
    for command, names in (("checks", all_checks()), ("methods", ATTRIBUTION), ("models", [s.form for s in SOURCES])):
        code, out, err = run(command)
        assert (code, err) == (0, "")
        for name in names:
            assert re.search(rf"^\s*{re.escape(name)}\s+\S", out, re.MULTILINE), name


@pytest.mark.parametrize("name", [*all_checks(), *ATTRIBUTION])
def test_help_of_every_check_and_method(run, name):
    code, out, err = run("help", name)
    assert (code, err) == (0, "")
    assert ("How to read it:" if name in all_checks() else "References:") in out


def test_help_of_the_program(run):
    for arguments in (["--help"], ["-h"], ["help"], ["audit", "--help"], ["explain", "-h"], ["help", "audit"]):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert "Usage: deeptroubles" in out
    assert run("audit", "--help") == run("help", "audit")
    assert run("--help") == run("help")
    assert "--fail-on" in run("audit", "--help")[1]
    assert run("--version") == (0, f"deeptroubles {metadata.version('deeptroubles')}\n", "")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line[2] != " "] == [
        "command",
        "page",
        "Python",
    ]


@pytest.mark.parametrize("width", [20, 44, 80, 200])
def test_help_and_lists_at_any_width(run, monkeypatch, width):
    for console in (console_module.out, console_module.err):
        monkeypatch.setattr(console, "_width", width)
    monkeypatch.setenv("COLUMNS", str(width))
    longest = max(map(len, [*all_checks(), *METHODS]))
    for command in (["help", "pgd"], ["help", "reliance.cue"], ["checks"], ["methods"], ["help"], ["help", "audit"]):
        code, out, err = run(*command)
        assert (code, err) == (0, "")
        assert "…" not in out.replace("1, 2, …", "")
        if command[0] in {"checks", "methods"} or command[1:] in (["pgd"], ["reliance.cue"]):
            assert max(map(len, out.splitlines())) <= max(width, longest + 4)
    names = {"checks": all_checks(), "methods": METHODS}
    for command, known in names.items():
        assert set(known) <= set(run(command)[1].split())


def test_a_docstring_is_wrapped_by_its_paragraphs_entries_and_items(monkeypatch, capsys):
    monkeypatch.setattr(console_module, "out", Console(width=30))
    console_module.print_docstring("""Ask one thing.

Some words that belong
together in one paragraph.

Args:
    a: The first of the two
        settings.
    b: The second.

Limits:
    - one item that is longer
      than a line
    - another""")
    assert (
        capsys.readouterr().out
        == """Ask one thing.

Some words that belong
together in one paragraph.

Args:
    a: The first of the two
        settings.
    b: The second.

Limits:
    - one item that is longer
      than a line
    - another

"""
    )


def test_a_terminal_that_knows_no_marks(here):
    """In a process of its own: how its streams are made is what matters here."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "deeptroubles", *audit_of("color_models:make", "--checks", "performance")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert "performance.accuracy" in done.stdout


def test_methods_are_compared_on_the_images_that_can_be_read(run, here):
    (here / "images" / "blue" / "0 first.png").write_text("no picture")
    code, out, err = run(*explain_of("--compare", image="images"))
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line.split() and line.split()[0] in ATTRIBUTION}
    assert rows.keys() == ATTRIBUTION.keys()
    assert len(re.findall(r"-?\d\.\d\d \(-?\d\.\d\d to \d\.\d\d\)", rows["occlusion"])) == 4
    assert "Most faithful first" in out


# --- the layers


def test_the_layers_of_a_model(run):
    code, out, err = run("layers", "color_models:make", "--device", "cpu")
    assert (code, err) == (0, "")
    assert re.search(r"^ *conv +conv2d +\d+ x \d+ x \d+ +\d+ +\d+ x \d+ +\d+ x \d+ *$", out, re.MULTILINE)
    code, out, err = run("layers", "color_models:make", "--device", "cpu", "--json")
    assert (code, err) == (0, "")
    assert "conv" in {layer["name"] for layer in json.loads(out)}


# --- the default method of explain


def test_the_default_method_is_the_first_that_works(run, here):
    _, out, err = run(*explain_of())
    assert err == ""
    assert "Method: grad_cam, the first that works for this model." in out
    assert (here / "00.grad_cam.png").exists()
    code, out, err = run(*explain_of(model="color_models:flat"))
    assert (code, err) == (0, "")
    assert re.search("grad_cam does not work here: .*use occlusion", out)
    assert "Method: occlusion, the first that works for this model." in out
    assert (here / "00.occlusion.png").exists()


# --- the page


def test_serve_refuses_to_be_reached_by_others_without_a_token(run):
    code, _, err = run("serve", "efficientnet-lite0", "--images", "demo", "--host", "192.0.2.1")
    assert code == 2
    assert "--token" in err


def test_serve_needs_images_or_a_run(run):
    code, _, err = run("serve", "color_models:make")
    assert code == 2
    assert "--images" in err


def test_a_run_says_where_it_came_from_and_may_not_run_code(run, here):
    assert run(*audit_of("color_models:make", "--checks", "data.balance"))[0] == 0
    origin = read_origin(here / "run")
    assert origin.model == "color_models:make"
    assert Path(origin.images).is_absolute()
    code, out, err = run("export", "run", "--out", "page")
    assert code == 0
    assert "would run code" in err
    assert "deeptroubles serve color_models:make --images " in err
    assert "--out run --device cpu" in err
    assert out.strip() == "page/index.html"
    assert "static" in (here / "page" / "index.html").read_text()


def test_a_damaged_origin_is_no_origin(tmp_path):
    for text in ("", "{", "[]", '{"model": 1}', '{"model": "a", "images": ["b"]}'):
        (tmp_path / "origin.json").write_text(text)
        assert read_origin(tmp_path) is None


def test_an_audit_that_is_refused_leaves_the_origin_of_the_other_run(run, here):
    assert run(*audit_of("color_models:make", "--checks", "data.balance"))[0] == 0
    code, _, err = run(*audit_of("color_models:flat", "--size", SIZE, "--checks", "data.balance"))
    assert code == 2
    assert "holds another run" in err
    assert read_origin(here / "run").model == "color_models:make"


def test_what_a_comparison_of_methods_cannot_use_is_refused(run):
    for option in (("--method", "occlusion"), ("--target", "red"), ("--layer", "conv"), ("--out", "x.png")):
        code, _, err = run(*explain_of("--compare", *option, image="images"))
        assert code == 2
        assert "--compare ranks all methods" in err
        assert option[0] in err


def test_a_run_knows_its_masks_from_any_folder(run, here):
    for path in (here / "images").rglob("*.png"):
        place = here / "masks" / path.relative_to(here / "images")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (SIZE, SIZE), 255).save(place)
    assert run(*audit_of("color_models:make", "--masks", "masks", "--checks", "data.balance"))[0] == 0
    assert read_origin(here / "run").images_options["masks"] == str(here / "masks")


@pytest.mark.parametrize(
    "command", [("train", "--images", "images"), ("mend", "color_models:make", "--by", "temperature")]
)
def test_a_device_that_is_not_there_is_one_sentence(run, command):
    code, _, err = run(*command, "--out", "model", "--device", "cuda:99")
    assert code == 2
    assert "The device 'cuda:99' is not available here; use --device cpu." in err
