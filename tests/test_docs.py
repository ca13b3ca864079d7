"""What the documents promise."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest
import typer

import deeptroubles
from deeptroubles import Verdict
from deeptroubles.checks import registry
from deeptroubles.checks.registry import all_checks
from deeptroubles.cli import app
from deeptroubles.engine import LocalEngine
from deeptroubles.models import SOURCES
from deeptroubles.recording import record
from deeptroubles.workflows.audit import ask

ROOT = Path(__file__).parents[1]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def example(monkeypatch):
    """The check and the test of CONTRIBUTING.md, as modules."""
    known = dict(all_checks())
    monkeypatch.setattr(registry, "_DECLARED", dict(known))
    modules = []
    for i, code in enumerate(re.findall(r"```python\n(.*?)```", text("CONTRIBUTING.md"), re.DOTALL)[:2]):
        module = types.ModuleType(f"contributed_{i}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(code, module.__dict__)  # noqa: S102 (our own document)
        modules.append(module)
    return registry._DECLARED["stability.mirror"], modules[1]


def test_the_check_of_the_contributing_guide_works(example):
    check, case = example
    assert check.guide.question == "Does the prediction change when the image is mirrored?"
    for make, verdict in ((case.planted, Verdict.FAIL), (case.clean, Verdict.PASS)):
        engine = LocalEngine()
        ((finding,), _) = ask(check, record(*make(), engine), engine, seed=0)
        assert finding.verdict == verdict


def test_the_readme_says_which_models_run_code():
    for source in SOURCES:
        if source.runs_code:
            assert f"`{source.form}`" in text("README.md")


def test_the_documents_name_files_that_exist():
    for name in re.findall(r"`([\w./]+\.(?:py|html))`|`([\w/]+)/`", text("ARCHITECTURE.md")):
        path = name[0] or name[1]
        known = list((ROOT / "src").rglob(path)) if "/" not in path else []
        places = (ROOT / path, ROOT / "src/deeptroubles" / path)
        assert known or any(place.exists() for place in places) or path.endswith("bundle.html"), path


DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
WRITTEN_BY_HAND = [path for path in DOCUMENTS if path.name not in {"checks.md", "commands.md", "reference.md"}]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]+)?\)", path.read_text(encoding="utf-8")):
        place = path if not target else path.parent / target
        assert place.exists(), f"{path.name}: {target}"
        if anchor and place.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor[1:] in anchors, f"{path.name}: {target}{anchor}"


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def command_lines(path: Path) -> list[str]:
    """What stands behind `deeptroubles` in blocks and tables, one command each."""
    text = "\n".join(blocks(path, "console")).replace("\\\n", " ")
    lines = re.findall(r"^(?:\$ )?deeptroubles (.+)$", text, re.MULTILINE)
    return lines + re.findall(r"^\|.*`deeptroubles ([^`]+)`", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=lambda path: path.name)
def test_commands_are_as_the_program_takes_them(path):
    program = typer.main.get_command(app)
    for line in command_lines(path):
        name, *arguments = shlex.split(line, comments=True)
        assert name in program.commands, line
        program.commands[name].make_context(name, arguments)  # parses, and does not run


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=lambda path: path.name)
def test_python_compiles_and_uses_names_that_exist(path):
    for code in blocks(path, "python"):
        compile(code, path.name, "exec", dont_inherit=True)
        for name in re.findall(r"\bdt\.(\w+(?:\.\w+)?)", code):
            thing = deeptroubles
            for part in name.split("."):
                thing = getattr(thing, part)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_notebooks_run(path, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(nbformat.read(path, as_version=4), timeout=900, resources=where).execute()


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-2000:]
    for page in (tmp_path / "site").rglob("*.html"):  # no request to anywhere
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8")
        )
        assert not loaded, (page.name, loaded)
