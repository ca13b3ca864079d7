"""On a GPU every method gives what it gives on a CPU. Skipped where there is none."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ModelError
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.catalogue import ATTRIBUTION
from deeptroubles.recording import record
from deeptroubles.subject import Subject, logits_of
from tests.served import opened

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
WITHIN = 1e-3
"""Of the largest value of a map: a GPU sums in another order, and may multiply in TF32."""


@pytest.fixture(scope="module")
def both():
    """The same subject on a CPU and on a GPU."""
    what = opened(8)
    here = Subject.unlabelled(what.classifier, what.images)
    there = Subject.unlabelled(copy.deepcopy(what.classifier).to(DEVICE), what.images)
    return here, there


@pytest.mark.parametrize("name", list(ATTRIBUTION))
def test_maps_are_the_same(name, both):
    found = []
    for subject in both:
        pixels = subject.pixels(range(2))
        targets = torch.tensor([0, 1], device=pixels.device)
        try:
            found.append(ATTRIBUTION[name].function(subject.classifier, pixels, targets).float().cpu())
        except ModelError as error:
            found.append(str(error))
    here, there = found
    if isinstance(here, str):
        assert here == there
    else:
        assert torch.allclose(here, there, atol=WITHIN * float(here.abs().max()), rtol=0)


def test_recordings_are_the_same(both):
    here, there = (record(s.classifier, s.images, LocalEngine()).logits for s in both)
    assert np.allclose(here, there, atol=WITHIN * np.abs(here).max())


def test_an_attack_finds_the_same(both):
    reached = []
    for subject in both:
        pixels = subject.pixels(range(8))
        labels = logits_of(subject.classifier, pixels).argmax(1)
        result = pgd(subject.classifier, pixels, labels, epsilon=8 / 255, steps=10)
        assert float((result.images - pixels).abs().max()) <= 8 / 255 + 1e-6
        reached.append(result.success.float().mean().item())
    assert reached[0] == pytest.approx(reached[1], abs=1 / 8)  # an image at the border may fall on either side
