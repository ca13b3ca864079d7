from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.adversarial.patch import Patch, patch
from deeptroubles.engine import LocalEngine
from deeptroubles.findings import ImageGrid
from deeptroubles.recording import record
from deeptroubles.statistics.intervals import Interval
from tests.networks import formula


def images() -> ImageSet:
    random = np.random.default_rng(0)
    return ImageSet.from_arrays(random.integers(90, 120, (12, 28, 28), dtype=np.uint8))


def planted():
    """The brightest neighborhood decides, however small it is."""

    def brightest(x):
        return torch.nn.functional.avg_pool2d(x, 3, 1).amax((1, 2, 3))

    return formula(lambda x: torch.stack([0.6 + 0 * brightest(x), brightest(x)], 1) * 10), images()


def clean():
    """All of the image decides, and a tenth is too little of it."""
    return formula(lambda x: torch.stack([0.7 + 0 * x.mean((1, 2, 3)), x.mean((1, 2, 3))], 1) * 10), images()


def test_the_patch_beats_random_content_on_fresh_views():
    engine = LocalEngine()
    result = patch(record(*planted(), engine), engine, seed=0)
    assert result.success.value > result.clean.value
    assert result.target == "class 1"
    assert result.clean.value == 0


@pytest.mark.parametrize(("clean", "verdict"), [(0.1, Verdict.WARN), (0.5, Verdict.INCONCLUSIVE)])
def test_views_that_have_the_class_without_a_patch_do_not_count(clean, verdict):
    """A patch without effect on a network of two classes: half of the views have its class with and without it."""
    half = Interval(0.5, 0.3, 0.7)
    found = Patch(
        target="b",
        images=12,
        steps=60,
        masked=(),
        success=half,
        control=half,
        clean=Interval(clean, 0.0, 1.0),
        shown=ImageGrid(title="", items=[]),
    )
    assert found.verdict == verdict
