"""The package as others get it: what is in the wheel, and what importing it brings along."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.networks import Plain

from deeptroubles import Classifier, ImageSet, analyze_units, audit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "deeptroubles"
OPTIONAL = {"timm", "torchvision", "transformers", "datasets"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("build") is None or importlib.util.find_spec("hatchling") is None:
        pytest.skip("building needs build and hatchling")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_carries_the_package_and_nothing_else(wheel):
    names = contents(wheel)
    package = {name for name in names if ".dist-info/" not in name}
    assert {"deeptroubles/report/bundle.html", "deeptroubles/py.typed", "deeptroubles/__init__.py"} <= package
    assert all(name.startswith("deeptroubles/") for name in package)
    modules = {path.relative_to(SOURCE.parent).as_posix() for path in SOURCE.rglob("*.py")}
    assert {name for name in package if name.endswith(".py")} == modules
    pages = {"deeptroubles/report/bundle.html", "deeptroubles/checks/references.json"}
    tables = {f"deeptroubles/methods/geography/{name}" for name in ("borders.npz", "countries.csv")}
    page = {name for name in package if name.startswith("deeptroubles/serving/page/")}
    kinds = sorted(name.removeprefix("deeptroubles/serving/page/").rpartition(".")[2] for name in page)
    assert kinds == ["css", "html", "js"]
    assert package - modules - page == {
        *pages,
        *tables,
        "deeptroubles/planted/horse.safetensors",
        "deeptroubles/py.typed",
        "deeptroubles/__init__.pyi",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_command_and_the_extras_are_declared(wheel):
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "deeptroubles = deeptroubles.cli:main" in texts["entry_points.txt"]
    assert "Provides-Extra: timm" in texts["METADATA"]
    assert "Requires-Dist: torch" in texts["METADATA"]


def test_the_unpacked_wheel_works_and_brings_no_optional_package(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    script = (
        "import json, sys, deeptroubles, deeptroubles.cli\n"
        "from deeptroubles.report import BUNDLE\n"
        "from deeptroubles.serving.app import page_html\n"
        "assert 'assets/app' in page_html('')\n"
        "from deeptroubles.checks.registry import all_checks\n"
        "print(json.dumps([deeptroubles.__file__, BUNDLE.is_file(), len(all_checks()), sorted(sys.modules)]))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'unpacked')\n{script}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    place, has_page, checks, modules = json.loads(done.stdout)
    assert Path(place).resolve().is_relative_to((tmp_path / "unpacked").resolve())
    assert has_page
    assert checks >= 4
    assert OPTIONAL.isdisjoint(name.partition(".")[0] for name in modules)


# --- what works without torch

WITHOUT_TORCH = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "sklearn", "skimage"}:
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, Refuse())
"""
READING = """
from pathlib import Path

import deeptroubles
from deeptroubles.findings import Finding, Verdict
from deeptroubles.report import write_report
from deeptroubles.run import files, folder, unit_store
from deeptroubles.serving.kept_units import KeptUnits
assert "audit" in dir(deeptroubles)
assert deeptroubles.read_audit and deeptroubles.Verdict
"""


def without_torch(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH + script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_can_be_read_and_shown_without_torch(tmp_path):
    """A run that torch wrote: its audit, its report and its units."""
    classifier = Classifier(Plain(classes=2), size=8, class_names=["a", "b"])
    images = ImageSet.from_arrays(np.zeros((12, 8, 8, 3), np.uint8), ["a", "b"] * 6)
    audit(classifier, images, tmp_path / "run", checks=["performance.accuracy"])
    analyze_units(classifier, images, tmp_path / "run", ["logits"])
    run, page = str(tmp_path / "run"), str(tmp_path / "report.html")
    shown = f"""
(finding,) = deeptroubles.read_audit({run!r}).findings
assert finding.verdict in set(Verdict)
write_report(deeptroubles.read_audit({run!r}), Path({page!r}))
assert KeptUnits(unit_store.UnitStore({run!r})).unit("logits", 0).top
"""
    done = without_torch(READING + shown)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("command", ["--help", "audit --help", "checks", "methods", "help reliance.shortcut"])
def test_a_command_that_needs_no_model_needs_no_torch(command):
    arguments = ["deeptroubles", *command.split()]
    done = without_torch(f"sys.argv = {arguments!r}\nfrom deeptroubles.cli import main\nmain()")
    assert done.returncode == 0, done.stderr


def test_what_does_import_torch_is_found_out():
    assert "torch is not to be imported here" in without_torch("import deeptroubles.subject").stderr
