from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet
from deeptroubles.checks.adversarial.one_pixel import one_pixel
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import blobs, formula

CENTRES = [(8 + i % 12, 8 + i // 2) for i in range(24)]


def images() -> ImageSet:
    return ImageSet.from_arrays(blobs(CENTRES))


def planted():
    """It says whether any pixel in the corner is bright."""
    return formula(lambda x: torch.stack([x[..., :3, :3].amax((1, 2, 3)), 0.5 + 0 * x.sum((1, 2, 3))], 1)), images()


def clean():
    """It says whether there is much light, wherever it is."""
    return formula(lambda x: torch.stack([x.sum((1, 2, 3)), 25 + 0 * x.sum((1, 2, 3))], 1)), images()


def test_every_pixel_is_tried_on_small_images():
    classifier, image_set = planted()
    engine = LocalEngine()
    result = one_pixel(record(classifier, image_set, engine), engine, seed=0)
    assert result.exact
    assert result.success.all()
    before = np.asarray(image_set[0])
    assert before[:3, :3].max() == 0


def test_large_images_say_what_was_not_tried():
    classifier = formula(lambda x: torch.stack([x.mean((1, 2, 3)), 2 - x.mean((1, 2, 3))], 1), size=40)
    engine = LocalEngine()
    result = one_pixel(record(classifier, images(), engine), engine, seed=0)
    (finding,) = result.findings()
    assert not result.exact
    assert any("Only 64 of more than" in caveat for caveat in finding.caveats)
