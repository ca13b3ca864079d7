from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet
from deeptroubles.checks.reliance.map_sanity import LIMIT, map_sanity
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import Budget, record
from tests.networks import Plain


def images() -> ImageSet:
    random = np.random.default_rng(0)
    return ImageSet.from_arrays(random.integers(0, 256, (40, 20, 20, 3), dtype=np.uint8))


class Unlearned(nn.Module):
    """Nothing in it is learned but one number: shuffling cannot change what its maps show."""

    def __init__(self):
        super().__init__()
        edges = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        self.register_buffer("edges", torch.stack([edges, edges.mT])[:, None].repeat(1, 3, 1, 1))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        strength = torch.relu(nn.functional.conv2d(x, self.edges, padding=1))
        return strength.mean((2, 3)) * self.scale


def planted():
    """Its maps show edges, whatever was learned."""
    return Classifier(Unlearned(), size=20), images()


def clean():
    """A network that is nothing but what it learned."""
    return Classifier(Plain(seed=3), size=20), images()


@pytest.mark.parametrize(("case", "stays"), [(planted, True), (clean, False)])
def test_agreement_of_every_method(case, stays):
    engine = LocalEngine()
    result = map_sanity(record(*case(), engine), engine, seed=0)
    assert {"grad_cam", "saliency"} & {m.method for m in result.methods}
    for method in result.methods:
        last = method.agreement[-1]
        assert np.isclose(last.value, 1, atol=1e-6) if stays else last.value < LIMIT, method.method


class Rounding(nn.Module):
    """A learned network behind pixels of 8 levels: no gradient reaches the pixels."""

    def __init__(self):
        super().__init__()
        self.inner = Plain(seed=3)

    def forward(self, x):
        return self.inner((x * 8).round() / 8)


def test_maps_that_are_zero_pass_nothing():
    engine = LocalEngine()
    result = map_sanity(record(Classifier(Rounding(), size=20), images(), engine), engine, seed=0)
    refused = dict(result.impossible)
    assert {"saliency", "gradient_x_input", "guided_backprop", "deconvnet"} <= refused.keys()
    assert "grad_cam" in {m.method for m in result.methods}
    assert "is zero" in refused["saliency"]
    (finding,) = result.findings()
    assert "saliency" not in finding.claim


def test_a_small_budget_costs_the_curve_and_not_the_verdict():
    engine = LocalEngine()
    recording = record(*clean(), engine)
    whole = map_sanity(recording, engine, seed=0)
    quick = map_sanity(replace(recording, budget=Budget(looks=1000, seconds=0.01)), engine, seed=0)
    assert [(m.method, m.agreement[-1], m.verdict) for m in whole.methods] == [
        (m.method, m.agreement[-1], m.verdict) for m in quick.methods
    ]
    (found,), (shown,) = quick.findings(), whole.findings()
    assert [e.kind for e in found.evidence] == ["table"]
    assert [e.kind for e in shown.evidence] == ["table", "curve"]
    assert any("time budget" in caveat for caveat in found.caveats)
