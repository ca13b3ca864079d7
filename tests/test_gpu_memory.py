"""A GPU's memory runs out: batches get smaller until they fit, and results stay the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet, audit
from deeptroubles.engine import LocalEngine
from deeptroubles.findings import Verdict
from deeptroubles.subject import Subject, logits_of
from tests.networks import Plain

NAMES = ["a", "b", "c", "d"]


class Small(nn.Module):
    """A network on a device with room for so many images."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.inner, self.room = Plain().eval(), room

    def forward(self, x):
        if not torch.compiler.is_exporting() and len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.inner(x)


def classifier(room: int) -> Classifier:
    made = Classifier(Small(99).eval(), size=8, class_names=NAMES)  # which is shown five images at once
    made.module.room = room
    return made


def images(count: int = 40) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ImageSet.from_arrays(pixels, [NAMES[i % 4] for i in range(count)])


@pytest.mark.parametrize("room", [1, 2, 7, 33])
def test_forward_passes_get_smaller_until_they_fit(room):
    pixels = torch.rand(33, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(logits_of(classifier(room), pixels), logits_of(classifier(99), pixels), atol=1e-6)
    assert logits_of(classifier(room), pixels[:0]).shape == (0, 4)


def test_one_image_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        logits_of(classifier(0), torch.zeros(3, 3, 8, 8))


def greedy(subject, items, batch_size, *, room):
    """Work that takes `batch_size` images at once by itself."""
    if batch_size > room:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return {"row": np.array(items), "at_once": np.full(len(items), batch_size)}


def test_work_of_checks_gets_smaller_batches_too():
    subject = Subject.unlabelled(classifier(99), images(8))
    found = LocalEngine(None, 32).map(greedy, subject, range(8), task="Working", room=5)
    assert found["row"].tolist() == list(range(8))
    assert set(found["at_once"].tolist()) == {4}
    with pytest.raises(torch.OutOfMemoryError):
        LocalEngine(None, 32).map(greedy, subject, range(8), task="Working", room=0)


def test_an_audit_with_little_memory_finds_the_same():
    checks = ["performance.accuracy", "stability.rotation"]
    found = [audit(classifier(room), images(), checks=checks, budget=None).findings for room in (3, 99)]
    assert [(f.check, f.verdict, f.claim) for f in found[0]] == [(f.check, f.verdict, f.claim) for f in found[1]]
    assert all(finding.verdict != Verdict.ERROR for finding in found[0])
