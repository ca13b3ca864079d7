from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.checks.reliance.shortcut.swaps import MAX_IMAGES, draw_rows
from tests.networks import Formula

SIZE, COUNT = 28, 60
TAG = (slice(None), slice(None), slice(23, 27), slice(1, 6))


def images(*, masks: bool = True) -> ImageSet:
    """Small and large gray squares on black; nine in ten of the small ones have a tag at the bottom left."""
    random = np.random.default_rng(0)
    arrays, shown, names = np.zeros((COUNT, SIZE, SIZE), np.uint8), np.zeros((COUNT, SIZE, SIZE), bool), []
    for i in range(COUNT):
        small = i % 2 == 0
        side = 6 if small else 12
        top, left = random.integers(3, SIZE - side - 6, 2)
        shown[i, top : top + side, left : left + side] = True
        arrays[i][shown[i]] = 170
        if small and random.random() < 0.9:
            arrays[i, 23:27, 1:6] = 255
        names.append("small" if small else "large")
    return ImageSet.from_arrays(arrays, names, masks=shown if masks else None)


def model(function) -> Classifier:
    return Classifier(Formula(function), size=SIZE, channels=1, class_names=["small", "large"])


def by_tag(x):
    tag = 12 * x[TAG].mean((1, 2, 3)) - 6
    return torch.stack([tag, -tag], 1)


def by_size(x):
    """How many pixels have the gray of the squares."""
    gray = ((x - 170 / 255).abs() < 0.01).float().sum((1, 2, 3)) - 80
    return torch.stack([-gray / 8, gray / 8], 1)


def planted():
    return model(by_tag), images()


def clean():
    return model(by_size), images()


@pytest.mark.parametrize("masks", [True, False])
def test_it_says_where_the_cue_is_and_proves_it(masks):
    (finding,) = audit(model(by_tag), images(masks=masks), checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.FAIL
    assert "For small, the prediction relies on a patch at the bottom left" in finding.claim
    moves, inserted, removed = finding.evidence[:3]
    assert moves.low > 0.5
    # Nine in ten donors have the tag, and without it an image is no longer small, up to exp(-12).
    assert inserted.value == pytest.approx(0.9, abs=0.15)
    assert removed.value == pytest.approx(0.9, abs=0.15)
    assert any("No masks given" in caveat for caveat in finding.caveats) == (not masks)


def test_a_clean_network_is_moved_by_the_object_alone():
    (finding,) = audit(*clean(), checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.PASS
    assert "the object alone moves it by" in finding.claim
    assert int(finding.claim.split("the object alone moves it by ")[1].rstrip(".")) > 50


def test_too_few_images_are_inconclusive():
    few = images().subset(range(12))
    (finding,) = audit(model(by_tag), few, checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "two classes with 10 labelled images" in finding.claim


def test_an_object_that_cannot_be_found_is_left_out():
    random = np.random.default_rng(1)
    noise = ImageSet.from_arrays(
        random.integers(0, 256, (COUNT, SIZE, SIZE), np.uint8), ["small", "large"] * (COUNT // 2)
    )
    (finding,) = audit(model(by_tag), noise, checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE


def test_inner_texture_only_warns():
    """The object's surface says the class to this network: that may be right or wrong, and is for the reader to say."""
    random = np.random.default_rng(0)
    arrays, shown = np.zeros((COUNT, SIZE, SIZE), np.uint8), np.zeros((COUNT, SIZE, SIZE), bool)
    checked = np.where(np.indices((10, 10)).sum(0) % 2, 100, 160)
    for i in range(COUNT):
        top, left = random.integers(2, SIZE - 12, 2)
        shown[i, top : top + 10, left : left + 10] = True
        arrays[i, top : top + 10, left : left + 10] = 130 if i % 2 else checked

    def by_texture(x):
        steps = (x[..., 1:] - x[..., :-1]).abs()
        found = ((steps > 0.15) & (steps < 0.3)).float().sum((1, 2, 3)) / 10 - 3
        return torch.stack([found, -found], 1)

    names = ["checked", "plain"] * (COUNT // 2)
    classifier = Classifier(Formula(by_texture), size=SIZE, channels=1, class_names=["checked", "plain"])
    (finding,) = audit(
        classifier, ImageSet.from_arrays(arrays, names, masks=shown), checks=["reliance.shortcut"]
    ).findings
    assert finding.verdict == Verdict.WARN
    assert "the object's inner texture" in finding.claim
    assert any("for you to decide" in caveat for caveat in finding.caveats)


def test_of_many_images_some_of_each_large_class_take_part():
    targets = np.repeat([0, 1, 2], [5_000, 3_000, 200])
    rows = draw_rows(np.arange(len(targets)), targets, seed=0)
    assert len(rows) == MAX_IMAGES
    assert np.bincount(targets[rows]).tolist() == [MAX_IMAGES // 3] * 3
    assert not np.array_equal(rows, draw_rows(np.arange(len(targets)), targets, seed=1))
    assert draw_rows(np.arange(7), targets, seed=0).tolist() == list(range(7))
