from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.adversarial.fooling import CLASSES, Fooling, fooling
from deeptroubles.engine import LocalEngine
from deeptroubles.findings import ImageGrid
from deeptroubles.recording import record
from tests.digits import trained, unseen
from tests.networks import blobs, formula


def planted():
    """A network that was trained on digits and on nothing else."""
    images, labels = unseen(60)
    return trained(), ImageSet.from_arrays((images[:, 0] * 255).round().to(torch.uint8).numpy(), labels.tolist())


def clean():
    """It is never very confident."""
    centers = [(8 + i, 9) for i in range(12)]
    half = torch.linspace(-1, 1, 28)
    return (
        formula(lambda x: torch.stack([(x * half).mean((1, 2, 3)), -(x * half).mean((1, 2, 3))], 1)),
        ImageSet.from_arrays(blobs(centers)),
    )


def test_what_is_shown_is_what_was_measured():
    classifier, image_set = planted()
    engine = LocalEngine()
    result = fooling(record(classifier, image_set, engine), engine, seed=0)
    assert len(result.ascended) == CLASSES
    assert len(result.evolved) == 10
    assert (result.ascended > 0.9).mean() > 0.5
    assert ((result.noise >= 0.1) & (result.noise <= 1)).all()
    assert result.queries == 31 * 60
    assert len(result.grid.items) == 6
    assert np.isfinite(result.evolved).all()


def test_the_claim_counts_every_kind_that_decides_the_verdict():
    low, high = np.full(4, 0.1), np.array([0.1, 0.95, 0.95, 0.99])
    result = Fooling(noise=low, ascended=low, evolved=high, queries=9, masked=(), grid=ImageGrid(title="", items=[]))
    (finding,) = result.findings()
    assert finding.verdict == Verdict.WARN
    assert "on optimized noise for 0 of 4 classes tried, and on evolved patterns for 3 of 4 classes" in finding.claim
