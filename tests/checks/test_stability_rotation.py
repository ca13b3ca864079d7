from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet
from deeptroubles.checks.stability.rotation import ANGLES, rotation
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.recording import record
from tests.networks import formula


def bars() -> ImageSet:
    """Level bars of different lengths and heights."""
    images = np.zeros((30, 28, 28), dtype=np.uint8)
    for i, image in enumerate(images):
        image[10 + i % 6 : 13 + i % 6, 4 + i % 3 : 24 - i % 4] = 255
    return ImageSet.from_arrays(images)


def planted():
    """It says whether every row of the bar is level: the least slant is another class."""

    def slanted(x):
        return ((x - x.round()).abs() > 0.05).float().sum((1, 2, 3)) - 8

    return formula(lambda x: torch.stack([-slanted(x), slanted(x)], 1)), bars()


def clean():
    """It says whether there is much light."""
    return formula(lambda x: torch.stack([x.sum((1, 2, 3)), 10 - x.sum((1, 2, 3))], 1)), bars()


def test_counts_equal_a_slow_loop():
    classifier, images = planted()
    engine = LocalEngine()
    found = rotation(record(classifier, images, engine), engine, seed=0).sweep
    for row in range(3):
        pixels = classifier.prepare(images[row])[None]
        first = classifier(pixels).argmax()
        for i, angle in enumerate(ANGLES):
            again = classifier(rotate(pixels, angle).clamp(0, 1)).argmax()
            assert found.changed[row, i] == bool(again != first)
    assert found.in_both == found.changed.any(1).sum() > 0


def test_correct_predictions_are_counted_on_labelled_images_only():
    classifier, images = planted()
    engine = LocalEngine()
    arrays = [np.asarray(images[i]) for i in range(12)]
    labelled = ImageSet.from_arrays(np.stack(arrays), labels=["class 0"] * 6 + [None] * 6)
    found = rotation(record(classifier, labelled, engine), engine, seed=0).sweep
    assert found.correct.shape == (6, len(ANGLES))
    assert found.correct_before == 6
    assert np.array_equal(found.correct, ~found.changed[:6])
