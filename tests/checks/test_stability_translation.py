from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet
from deeptroubles.checks.stability.translation import DIRECTIONS, translation
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.recording import record
from tests.networks import Plain, blobs, formula

CENTRES = [(10 + i % 9, 13 + i % 2) for i in range(24)]


def planted():
    """It says on which side of the middle the object is, and the objects are near the middle."""
    side = torch.linspace(-1, 1, 28)
    return formula(lambda x: torch.stack([(x * -side).sum((1, 2, 3)), (x * side).sum((1, 2, 3))], 1)), images()


def clean():
    """It says whether the object is large, wherever it is."""
    return formula(lambda x: torch.stack([x.sum((1, 2, 3)), 60 - x.sum((1, 2, 3))], 1)), images()


def images() -> ImageSet:
    return ImageSet.from_arrays(blobs(CENTRES))


def measure(classifier, image_set, **settings):
    engine = LocalEngine()
    return translation(record(classifier, image_set, engine), engine, seed=0, **settings)


def test_stride_one_circular_network_is_exactly_stable():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    random = np.random.default_rng(0)
    image_set = ImageSet.from_arrays(random.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
    result = measure(Classifier(network, size=32), image_set, border="circular")
    assert result.lengths == (1, 2, 4)
    assert result.share.value == 0
    assert not result.changed.any()


@pytest.mark.parametrize("border", ["black", "mirror", "circular"])
def test_counts_equal_a_slow_loop(border):
    classifier = Classifier(Plain(), size=24)
    random = np.random.default_rng(1)
    image_set = ImageSet.from_arrays(random.integers(0, 256, (5, 24, 24, 3), dtype=np.uint8))
    result = measure(classifier, image_set, border=border)
    for row in range(5):
        pixels = classifier.prepare(image_set[row])
        first = classifier.eval()(pixels[None]).argmax()
        for i, length in enumerate(result.lengths):
            for j, (down, right) in enumerate(DIRECTIONS):
                moved = classifier(shift(pixels, down * length, right * length, border)[None]).argmax()
                assert result.changed[row, i, j] == bool(moved != first)


def test_changes_whatever_the_border_are_counted():
    result = measure(*planted())
    assert result.in_both == result.changed.any((1, 2)).sum() > 0
