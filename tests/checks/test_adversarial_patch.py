from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet
from deeptroubles.checks.adversarial.patch import patch
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
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
