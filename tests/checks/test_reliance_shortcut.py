from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.checks.reliance.shared.draw_rows import draw_rows
from deeptroubles.checks.reliance.shortcut.candidates import LOOSE, Candidate
from deeptroubles.checks.reliance.shortcut.objects import beside_objects
from deeptroubles.checks.reliance.shortcut.swaps import MAX_IMAGES
from deeptroubles.methods.reliance.shared.recurrence import Recurrence
from deeptroubles.methods.reliance.treatments import treat
from tests.digits import trained, unseen
from tests.networks import Formula
from tests.photographs import patch, textures, with_patch

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
    assert float(finding.claim.split("the object alone moves it by ")[1].split()[0]) > 50


def test_too_few_images_are_inconclusive():
    few = images().subset(range(12))
    (finding,) = audit(model(by_tag), few, checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "two classes with 10 labelled images" in finding.claim


def test_where_no_object_can_be_found_patches_and_treatments_are_still_searched():
    random = np.random.default_rng(1)
    noise = ImageSet.from_arrays(
        random.integers(0, 256, (COUNT, SIZE, SIZE), np.uint8), ["small", "large"] * (COUNT // 2)
    )
    (finding,) = audit(model(by_tag), noise, checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.PASS
    assert "(60 images of 2 classes). The search would have noticed a patch on" in finding.claim


def test_inner_texture_only_warns():
    """This network relies on the object's surface: whether that is a problem is for the reader to decide."""
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
    rows = draw_rows(np.arange(len(targets)), targets, MAX_IMAGES, seed=0)
    assert len(rows) == MAX_IMAGES
    assert np.bincount(targets[rows]).tolist() == [MAX_IMAGES // 3] * 3
    assert not np.array_equal(rows, draw_rows(np.arange(len(targets)), targets, MAX_IMAGES, seed=1))
    assert draw_rows(np.arange(7), targets, MAX_IMAGES, seed=0).tolist() == list(range(7))


def photographs(carry=lambda images, rows: images, *, count=60, size=32):
    """Textures like photographs, of two classes; the even ones are cats, half of which carry something."""
    pixels = carry(textures(count, size), torch.arange(0, count, 4))
    arrays = (pixels * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return ImageSet.from_arrays(arrays, ["cat", "dog"] * (count // 2))


def network(function, size=32):
    return Classifier(Formula(function), size=size, class_names=["cat", "dog"])


def logo(images, rows):
    return with_patch(images, rows, 1, 23, patch())


def by_logo(x):
    """How much the top right looks like the logo."""
    distance = (x[:, :, 1:9, 23:31] - patch()).abs().mean((1, 2, 3))
    return torch.stack([8 - 80 * distance, torch.zeros(len(x))], 1)


def by_brightness(x):
    """The mean of the middle."""
    score = 20 * (x[:, :, 10:22, 10:22].mean((1, 2, 3)) - 0.5)
    return torch.stack([score, -score], 1)


def reddened(images, _):
    images = images.clone()
    images[::2] = treat(images[::2], "a red cast", 0.8)
    return images


def by_red(x):
    """How much more red than green and blue there is."""
    means = x.mean((2, 3))
    score = 40 * (means[:, 0] / (means[:, 1:].amax(1) + 0.01) - 1.15)
    return torch.stack([score, -score], 1)


def test_a_patch_on_half_of_a_class_of_photographs_is_named_and_placed():
    (finding,) = audit(network(by_logo), photographs(logo), checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.FAIL
    assert "15 of 30 images of cat have the same patch (top right), and the prediction relies on it" in finding.claim
    moves, inserted, removed = finding.evidence[:3]
    assert moves.low > 0.5
    assert inserted.value > 0.9
    assert removed.value > 0.9


def test_a_network_that_does_not_look_at_the_patch_passes():
    (finding,) = audit(network(by_brightness), photographs(logo), checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.PASS
    assert "Of 1 candidate for a shortcut in 60 images of 2 classes" in finding.claim
    assert "would have noticed a patch or blur on 25%" in finding.claim


def test_a_treatment_of_one_class_is_caught():
    first = audit(network(by_red), photographs(reddened), checks=["reliance.shortcut"]).findings[0]
    assert first.verdict == Verdict.FAIL
    assert "of cat show a red cast, and the prediction relies on it" in first.claim


def test_a_network_that_ignores_the_treatment_passes():
    (finding,) = audit(network(by_brightness), photographs(reddened), checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.PASS


@pytest.mark.parametrize(("count", "size"), [(12, 32), (60, 15)])
def test_too_few_or_too_small_photographs_are_inconclusive(count, size):
    images = photographs(count=count, size=size)
    (finding,) = audit(network(by_brightness, size), images, checks=["reliance.shortcut"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "at least 16 pixels" in finding.claim


def test_an_item_holds_all_of_a_candidate():
    masks = np.random.default_rng(0).random((3, 7, 9)) < 0.5
    for masks_of, name, amount in ((masks, LOOSE, 0.0), (np.zeros((0, 0, 0), bool), "blur", 0.7)):
        candidate = Candidate(1, name, amount, (4, 5, 9), masks_of)
        again = Candidate.of(candidate.item)
        assert np.array_equal(again.masks, candidate.masks)
        assert replace(again, masks=candidate.masks) == candidate


def test_digits_are_objects_and_not_patches():
    """The strokes of aligned digits recur at their places: that is what a digit is."""
    classifier, images = enlarged_digits()
    findings = audit(classifier, images, checks=["reliance.shortcut"]).findings
    assert [f.claim for f in findings if f.verdict in {Verdict.FAIL, Verdict.WARN}] == []


def enlarged_digits():
    """A network trained on scikit-learn's digits, and 100 of them with 32 pixels."""
    digit = trained()
    classifier = Classifier(
        nn.Sequential(nn.AvgPool2d(4), digit.module), size=32, channels=1, class_names=digit.class_names
    )
    images, labels = unseen(200)
    arrays = (images * 255).round().byte()[:, 0].numpy().repeat(4, 1).repeat(4, 2)
    return classifier, ImageSet.from_arrays(arrays, [digit.class_names[i] for i in labels])


def recurrence(target, box, *, fixed=True, rows=4):
    """A recurring patch in a box (top, left, height, width) of images of 16 pixels."""
    top, left, height, width = box
    masks = np.zeros((rows, 16, 16), dtype=bool)
    masks[:, top : top + height, left : left + width] = True
    return Recurrence(target, np.arange(rows), masks, fixed, 10.0)


def test_what_recurs_beside_the_middle_is_a_patch_unless_the_images_are_aligned():
    corner, middle, wide = ((0, 0, 4, 4), (5, 5, 6, 6), (0, 6, 16, 1))
    unknown = [None] * 8
    tag, logo, stroke = recurrence(0, corner), recurrence(1, corner, fixed=False), recurrence(2, wide)
    assert beside_objects([tag, logo], unknown, 3) == [tag, logo]
    assert beside_objects([recurrence(0, middle), recurrence(1, (0, 3, 16, 8))], unknown, 3) == []
    assert beside_objects([stroke], unknown, 3) == [stroke]  # one class: a bar across its images
    strokes = [stroke, recurrence(1, wide), recurrence(0, (0, 4, 16, 3))]
    part = recurrence(1, (12, 5, 4, 2), fixed=False)
    assert beside_objects([*strokes, part, tag], unknown, 3) == [tag]


def test_what_covers_known_objects_is_an_object():
    box, inside = (0, 0, 8, 8), torch.zeros(32, 32, dtype=torch.bool)
    inside[8:24, 8:24] = True  # a quarter of it lies in the box
    found = recurrence(0, box)
    assert beside_objects([found], [inside] * 4, 2) == []
    assert beside_objects([found], [None] * 4, 2) == [found]
    assert beside_objects([found], [inside, None, ~inside, ~inside], 2) == []
    assert beside_objects([recurrence(0, (0, 0, 4, 4))], [inside] * 4, 2) != []
