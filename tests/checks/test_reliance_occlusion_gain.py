from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet
from deeptroubles.checks.reliance.occlusion_gain import CONTINUED, occlusion_gain
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import blobs, formula

NAMES = ("object", "tag")


def images(count: int = 40) -> ImageSet:
    """An object in the middle and a small tag in the corner; the object is what the label means."""
    random = np.random.default_rng(0)
    arrays = blobs([(14 + int(d), 14) for d in random.integers(-4, 5, count)])
    arrays[:, 0:4, 0:4] = 255
    return ImageSet.from_arrays(arrays, ["object"] * count)


def model(tag: float):
    def answer(x):
        middle = x[:, :, 6:22, 6:22].sum((1, 2, 3)) / 49
        return torch.stack([4 * middle, tag * x[:, :, :4, :4].mean((1, 2, 3))], 1)

    return formula(answer, 28, 1, NAMES)


def planted():
    """The tag is evidence against the object, and stronger than the evidence for it."""
    return model(5.0), images()


def clean():
    """The tag is there, and does not count."""
    return model(0.0), images()


def test_the_tag_is_what_is_hidden():
    classifier, image_set = planted()
    engine = LocalEngine()
    result = occlusion_gain(record(classifier, image_set, engine), engine, seed=0)
    before, after = 1 / (1 + np.exp(5 - 4)), 1 / (1 + np.exp(0 - 4))
    assert np.allclose(result.probability[:, 0], before, atol=1e-6)
    assert np.allclose(result.probability[:, 1], after, atol=1e-6)
    assert np.allclose(result.probability[:, 3], after, atol=1e-6)  # there is nothing more to gain
    assert result.corrected == CONTINUED
    assert result.share.value == 1
