from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import Classifier, ImageSet, Verdict, audit
from tests.networks import Formula

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def grays(count: int = 80, channels: int = 3) -> ImageSet:
    """Images of one gray level each, dark or bright; the border is ImageNet's mean."""
    random = np.random.default_rng(0)
    bright = np.arange(count) % 2 == 1
    levels = np.where(bright, random.integers(125, 255, count), random.integers(40, 105, count)).astype(np.uint8)
    shape = (count, 4, 4, 3) if channels == 3 else (count, 4, 4)
    pixels = np.broadcast_to(levels.reshape(-1, *[1] * (len(shape) - 1)), shape).copy()
    return ImageSet.from_arrays(pixels, np.where(bright, "bright", "dark").tolist())


def tells_bright(border: float, channels: int = 3, **settings):
    """Bright is what lies above the border, in the values that the module gets."""
    module = Formula(lambda x: torch.stack([border - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - border], 1))
    return Classifier(module, size=4, channels=channels, class_names=["dark", "bright"], **settings)


def planted():
    """Made for normalized pixels, and it gets them as they are: everything looks bright."""
    return tells_bright(0.0), grays()


def clean():
    """The same network with its mean and std."""
    return tells_bright(0.0, **IMAGENET), grays()


def finding(classifier, images):
    return audit(classifier, images, checks=["performance.preprocessing"]).findings[0]


@pytest.mark.parametrize(
    ("border", "settings", "name"),
    [
        (0.45, {"mean": [0.9], "std": [0.1]}, "values from 0 to 1"),
        (115.0, {}, "values from 0 to 255"),
        (0.0, {}, "ImageNet's mean and std"),
    ],
)
def test_it_names_the_scaling_that_is_right(border, settings, name):
    found = finding(tells_bright(border, **settings), grays())
    assert found.verdict == Verdict.FAIL
    assert name in found.claim


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "values from 0 to 1"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, "values from -1 to 1"),
        (IMAGENET, "ImageNet's mean and std"),
    ],
)
def test_the_scaling_as_given_is_not_another_one(settings, name):
    found = finding(tells_bright(0.0, **settings), grays())
    names = {row[0] for row in found.evidence[1].rows}
    assert name not in names
    assert len(names) == 6


def test_channels_that_are_turned_around():
    red = ImageSet.from_arrays(
        np.stack([np.full((4, 4, 3), level, dtype=np.uint8) for level in [(250, 0, 10), (10, 0, 250)] * 30]),
        ["red", "blue"] * 30,
    )
    module = Formula(lambda x: torch.stack([x[:, 2].mean((1, 2)), x[:, 0].mean((1, 2))], 1))
    found = finding(Classifier(module, size=4, class_names=["red", "blue"]), red)
    assert found.verdict == Verdict.FAIL
    assert "blue first" in found.claim


def test_one_channel_has_its_own_scalings():
    found = finding(tells_bright(0.2, channels=1, mean=[0.45], std=[0.5]), grays(channels=1))
    assert {row[0] for row in found.evidence[1].rows} == {
        "as given",
        "values from -1 to 1",
        "values from 0 to 1",
        "values from 0 to 255",
        "MNIST's mean and std",
        "black and white exchanged",
    }


def test_for_a_network_that_guesses_no_scaling_is_better():
    """Labels are random: no scaling is significantly better (10 seeds)."""
    for seed in range(10):
        labels = np.random.default_rng(seed).choice(["dark", "bright"], 80).tolist()
        pixels = np.random.default_rng(seed + 100).integers(0, 255, (80, 4, 4, 3)).astype(np.uint8)
        found = finding(tells_bright(0.0), ImageSet.from_arrays(pixels, labels))
        assert found.verdict not in {Verdict.FAIL, Verdict.WARN}
        assert found.claim.startswith("Accuracy is ")
        assert "  " not in found.claim
