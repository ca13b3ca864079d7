"""The package as others get it: what is in the wheel, and what importing it brings along."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "deeptroubles"
OPTIONAL = {"timm", "torchvision", "transformers", "datasets"}
HEAVY = {"torch", "torchvision", "timm", "transformers", "datasets", "captum", "efficientnet_lite_pytorch"}


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
    pages = {f"deeptroubles/report/{name}" for name in ("bundle.html", "units.html.jinja")}
    tables = {f"deeptroubles/methods/geography/{name}" for name in ("borders.npz", "countries.csv")}
    assert package - modules == {*pages, *tables, "deeptroubles/py.typed"}
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
        "from deeptroubles.checks import all_checks\n"
        "print(json.dumps([deeptroubles.__file__, BUNDLE.is_file(), len(all_checks()), sorted(sys.modules)]))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'unpacked')\n{script}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    place, has_page, checks, modules = json.loads(done.stdout)
    assert Path(place).resolve().is_relative_to((tmp_path / "unpacked").resolve())
    assert has_page
    assert checks >= 4
    assert OPTIONAL.isdisjoint(name.partition(".")[0] for name in modules)


# --- what can be read without torch


def imports(path: Path) -> set[str]:
    """The modules that a file imports when it is imported itself (not inside of functions, not for types only)."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                pending += node.orelse
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                pending.append(node)
    return found


def file_of(module: str) -> Path | None:
    place = SOURCE.parent / Path(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def chain(module: str) -> set[str]:
    """All that a module imports, through the modules of this package (whose own first lines are left out)."""
    seen: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in seen or name == "deeptroubles":
            continue
        seen.add(name)
        if name.startswith("deeptroubles.") and (path := file_of(name)):
            pending += imports(path)
    return seen


@pytest.mark.parametrize(
    "module",
    [
        "findings",
        "report",
        "report.figure",
        "errors",
        "files",
        "pictures",
        "run_folder",
        "progress",
        "checks.judging",
        "methods.statistics.intervals",
        "methods.statistics.calibration",
        "images.decoding",
        "images.labels",
    ],
)
def test_an_audit_can_be_read_and_shown_without_torch(module):
    found = chain(f"deeptroubles.{module}")
    assert len(found) > 1
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in found)


def test_the_chain_would_find_torch():
    """The test above can fail: what does import torch is found out, also through other modules."""
    assert "torch" in chain("deeptroubles.workflows.audit")
    assert "torch" in chain("deeptroubles.subject")
