"""The benchmark of planted cues with a few networks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "planted.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("planted_benchmark", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.xdist_group("mini benchmark")
def test_networks_that_rely_on_a_cue_are_separated_from_one_that_does_not(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "FOLDER", tmp_path)
    monkeypatch.setattr(benchmark, "CUES", {name: benchmark.CUES[name] for name in ("tag", "frame")})
    chosen = [
        benchmark.Job("tag", 0.95, "plain", 60),
        benchmark.Job("frame", 0.95, "residual", 61),
        benchmark.Job(None, 0.0, "residual", 62),
    ]
    rows = [benchmark.measured(job, compare=True) for job in chosen]
    for kind in ("masks", "no masks"):
        tag, frame, clean = (row[kind] for row in rows)
        assert (tag["verdict"], tag["name"]) == ("fail", "window")
        assert (frame["verdict"], frame["name"]) == ("fail", "frame")
        assert clean["verdict"] in {"pass", "inconclusive"}
        assert clean["score"] < min(tag["score"], frame["score"])
        assert tag["iou"] > 0.2
    assert rows[0]["reliance"] > 0.1
    assert rows[0] == benchmark.measured(chosen[0], compare=True)  # from disk: nothing is trained or run again
    benchmark.report(rows)
    printed = capsys.readouterr().out
    assert "| all | 2 | 1.000 | 100% | 100% | 100% |" in printed
    assert "SpRAy eigengap" in printed
