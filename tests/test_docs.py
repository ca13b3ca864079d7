"""What the documents promise."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from deeptroubles import Verdict
from deeptroubles.checks import registry
from deeptroubles.checks.registry import all_checks
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
