"""How results look where they are printed, and in a notebook."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import pytest
import torch
from torch import nn

import deeptroubles as dt
from deeptroubles.display import Brief, html_table
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.workflows.visualize import Figure
from tests.report.sample import sample_audit

HOSTILE = "<script>alert('x')</script>"


def result(count=3):
    images = torch.rand(count, 3, 8, 8)
    return AttackResult(images, torch.arange(count) > 0, torch.arange(count) / 10, torch.full((count,), 7))


def test_an_audit_and_its_findings_print_in_a_few_lines():
    audit = sample_audit()
    assert len(repr(audit).splitlines()) <= 7
    assert len(repr(audit)) < 3000
    assert audit.model.name in repr(audit)
    for finding in audit.findings:
        assert finding.check in repr(finding)
        assert finding.claim in repr(finding)
        assert all(len(repr(evidence)) < 1500 for evidence in finding.evidence)


def test_in_a_notebook_an_audit_is_a_table_of_verdicts():
    audit = sample_audit()
    html = audit._repr_html_()
    assert html.count('<th scope="row"') == len(audit.findings)
    assert html.count("<caption") == 1
    assert "<script" not in html
    for text in (html, audit.findings[0]._repr_html_()):
        assert "http" not in text.replace(audit.findings[0].criterion, "")


def test_what_is_shown_is_escaped():
    assert HOSTILE not in html_table(HOSTILE, [HOSTILE], [[HOSTILE, HOSTILE]])


def test_an_attack_result_prints_one_line_and_shows_pictures_with_distances():
    assert repr(result()) == (
        "AttackResult: reached the goal on 2 of 3 images, median distance 0.1 where it did, 7 queries per image"
    )
    html = result()._repr_html_()
    assert html.count('<img src="data:image/webp;base64,') == 3
    assert "distance 0.2" in html
    assert "not reached" in html
    assert "the first 12 are shown" in result(20)._repr_html_()
    assert result(20)._repr_html_().count("<img") == 12


def test_a_classifier_prints_what_it_is():
    text = repr(dt.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), size=2, name="tiny"))
    assert text.startswith("Classifier tiny (torch.nn.modules.container.Sequential): 5 classes (class 0, class 1, ")
    assert "65 parameters" in text
    assert len(text.splitlines()) == 2


def test_arrays_are_shown_by_their_shapes():
    @dataclass(frozen=True, repr=False)
    class Result(Brief):
        images: torch.Tensor
        names: list
        value: float

    text = repr(Result(torch.zeros(5, 3), list(range(100)), 1 / 3))
    assert text.endswith("Result(images=<5 x 3 Tensor>, names=<100 entries>, value=0.333333)")


def test_every_result_with_arrays_is_brief():
    seen = 0
    for package in ("methods.attacks", "methods.attribution", "methods.units", "methods.fairness", "workflows"):
        root = importlib.import_module(f"deeptroubles.{package}")
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if "shared" in module.name and not module.name.endswith("result"):
                continue
            for name, kind in vars(importlib.import_module(module.name)).items():
                if not is_dataclass(kind) or name.startswith("_") or kind.__module__ != module.name:
                    continue
                types = [str(field.type) for field in fields(kind)]
                holds = any("Tensor" in text or "NDArray" in text for text in types)
                assert not holds or issubclass(kind, Brief | AttackResult), kind
                seen += holds
    assert seen > 10


# --- heatmaps


def test_a_heatmap_is_saved_and_shown_in_a_notebook(tmp_path):
    maps, images = torch.randn(2, 4, 4, requires_grad=True), torch.rand(2, 3, 16, 16)
    drawn = dt.heatmap(maps, images, title=HOSTILE, scale_label="logits")
    path = drawn.save(tmp_path / "heat.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    html = drawn._repr_html_()
    assert html.count("<img") == 1
    assert 'src="data:image/webp;base64,' in html
    assert HOSTILE not in html
    assert len(repr(drawn)) < 300


def test_pictures_of_units_show_themselves_in_a_notebook():
    drawn = Figure("layer", HOSTILE, (np.zeros((3, 8, 8), np.float32), np.eye(4, dtype=np.float32)), ("a", HOSTILE))
    html = drawn._repr_html_()
    assert html.count('<img src="data:image/webp;base64,') == 2
    assert HOSTILE not in html


def test_one_map_and_a_gray_image_will_do():
    drawn = dt.heatmap(np.eye(4), np.zeros((1, 8, 8)))
    assert drawn.pictures.shape == (1, 8, 8, 3)
    assert drawn.values.shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("values", "images", "what"),
    [
        (np.eye(4), np.zeros((2, 3, 8, 8)), "do not fit"),
        (np.eye(4), np.zeros((8, 8, 3)), "do not fit"),
        (np.full((4, 4), np.nan), np.zeros((3, 8, 8)), "finite"),
        (np.eye(4), "cat.jpg", r"model\.prepare"),
    ],
)
def test_what_cannot_be_drawn_is_told(values, images, what):
    with pytest.raises(UsageError, match=what):
        dt.heatmap(values, images)
