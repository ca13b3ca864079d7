"""What `import deeptroubles` offers, and the example on its first lines."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from mypy import api

import deeptroubles
from deeptroubles.findings import findings_to_json
from deeptroubles.images.demo import load_demo

ROOT = Path(__file__).parents[1]
STUB = ROOT / "src" / "deeptroubles" / "__init__.pyi"
NAMES = [alias.name for node in ast.parse(STUB.read_text(encoding="utf-8")).body for alias in node.names]
SCRIPT = """\
import torch

import deeptroubles as dt

model = dt.load_classifier("efficientnet-lite0")
images = dt.load_images("photos/")
audit = dt.audit(model, images, out="runs/first")
verdicts: list[dt.Verdict] = [finding.verdict for finding in audit.findings]
maps: torch.Tensor = dt.attribution.integrated_gradients(model, model.prepare(images[0])[None], 3, steps=8)
success: torch.Tensor = dt.attacks.pgd(model, model.prepare(images[0])[None], 3).success
dt.audits
"""


def test_the_public_names_are_those_of_the_stub_and_documented():
    assert sorted(NAMES) == deeptroubles.__all__
    assert len(set(NAMES)) == len(NAMES)
    assert set(NAMES) <= set(dir(deeptroubles))
    for name in NAMES:
        offered = getattr(deeptroubles, name)
        text = inspect.getdoc(offered) or ""
        assert re.match(r"[A-Z][^\n]+[.:?]", text), name
        if inspect.isfunction(offered):
            missing = [p for p in inspect.signature(offered).parameters if not re.search(rf"\b{p}\b", text)]
            assert not missing, (name, missing)


def test_a_script_of_a_user_is_type_checked(tmp_path, monkeypatch):
    """mypy knows the lazy names and their types; it finds the one mistake, on the last line."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.setenv("MYPYPATH", str(ROOT / "src"))
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    output, errors, _ = api.run([*config, "--no-error-summary", str(tmp_path / "script.py")])
    assert not errors
    (line,) = output.strip().splitlines()
    assert f':{len(SCRIPT.splitlines())}: error: Module has no attribute "audits"' in line


def test_the_example_works(tmp_path, monkeypatch):
    """As it stands, on five photographs and with the quickest check."""
    example = textwrap.dedent((deeptroubles.__doc__ or "").split("\n\n", 1)[1])
    assert len(example.strip().splitlines()) <= 6
    demo = load_demo()
    for index in [i for i, label in enumerate(demo.table["label"]) if label][:5]:
        label = demo.table["label"][index]
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(demo.fetch(index), tmp_path / "photos" / label)
    monkeypatch.chdir(tmp_path)
    quick = example.replace('out="runs/first"', 'out="runs/first", checks=["performance.accuracy"]')
    assert quick != example
    names: dict[str, object] = {}
    exec(quick, names)  # noqa: S102 (the example is ours)
    result = names["audit"]
    assert isinstance(result, deeptroubles.Audit)
    assert result.status == "complete"
    assert result.images.labelled == len(list((tmp_path / "photos").rglob("*.*")))
    held = deeptroubles.read_audit(tmp_path / "runs" / "first")
    assert findings_to_json(held.findings) == findings_to_json(result.findings)
    deeptroubles.write_report(result, tmp_path / "report.html")
    assert result.findings[0].claim in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_command_line_starts_without_heavy_imports():
    code = (
        "import sys, deeptroubles.cli\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'pandas', 'PIL', 'matplotlib'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
