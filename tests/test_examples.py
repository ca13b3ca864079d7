"""The examples run and find what their documents say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from deeptroubles import Verdict

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_person_presence(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("person_presence", EXAMPLES / "person_presence.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "CHECKS", ("performance.accuracy", "data"))
    findings = {f.check: f for f in example.main(tmp_path).findings}
    assert findings["performance.accuracy"].verdict == Verdict.PASS
    assert findings["data.correlation"].verdict == Verdict.FAIL
    assert findings["data.defects"].verdict == Verdict.FAIL
    assert (tmp_path / "report.html").stat().st_size > 50_000
    printed = capsys.readouterr().out
    assert "data.duplicates" in printed
    assert "40 of 40 images of faces are predicted as a face." in printed
    assert "64 of 64 images of grass are predicted as a face." in printed
