from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.reliance.background import MIRRORED, MIXED, VARIANTS, background
from deeptroubles.checks.reliance.shared.objects import known_objects
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import formula
from tests.photographs import crops

NAMES = ("small", "large")


def images(count: int = 40) -> ImageSet:
    """Small white squares on dark gray, large ones on lighter gray."""
    arrays = np.zeros((count, 28, 28), dtype=np.uint8)
    masks = np.zeros((count, 28, 28), dtype=bool)
    for i in range(count):
        radius, (y, x) = (5 if i % 2 else 3), (8 + i % 9, 10 + i % 7)
        masks[i, y - radius : y + radius + 1, x - radius : x + radius + 1] = True
        arrays[i] = np.where(masks[i], 255, 102 if i % 2 else 26)
    return ImageSet.from_arrays(arrays, [NAMES[i % 2] for i in range(count)], masks=masks)


def planted():
    """It looks at the corner, where there is background only."""
    return formula(lambda x: torch.stack([0.25 - x[:, 0, 0, 0], x[:, 0, 0, 0] - 0.25], 1) * 20, 28, 1, NAMES), images()


def clean():
    """It counts white pixels."""

    def answer(x):
        size = (x > 0.9).sum((1, 2, 3)) / 85
        return torch.stack([1 - size, size - 1], 1) * 20

    return formula(answer, 28, 1, NAMES), images()


def result_of(case):
    engine = LocalEngine()
    return background(record(*case, engine), engine, seed=0)


def test_a_network_that_sees_the_background_alone_predicts_its_class_in_every_variant():
    right = dict(zip(VARIANTS, result_of(planted()).correct.T, strict=True))
    assert (right["Original"] == 1).all()
    assert (right["Mixed-same"] == 1).all()
    assert (right["Mixed-next"] == 0).all()
    assert (right["Only-BG-T"] == 1).all()
    assert (right["Only-BG-B"] == 1).all()
    assert 0.3 < right["Mixed-rand"].mean() < 0.7  # any of two classes
    assert right["Only-FG"].tolist() == [1.0, 0.0] * 20  # black is darker than both


def test_a_network_that_sees_the_object_alone_predicts_its_class_on_every_background():
    right = dict(zip(VARIANTS, result_of(clean()).correct.T, strict=True))
    for name in ("Original", *MIXED, *MIRRORED, "Only-FG"):
        assert (right[name] == 1).all(), name
    assert right["No-FG"].tolist() == [1.0, 0.0] * 20  # nothing white is small


def test_one_class_has_no_other_background():
    classifier, image_set = planted()
    (finding,) = audit(classifier, image_set.subset(range(0, 40, 2)), checks=["reliance.background"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "no two classes" in finding.claim
    assert "20 images of 20 have one" in finding.caveats[0]


def without_masks(image_set: ImageSet) -> ImageSet:
    return replace(image_set, fetch_mask=None)


@pytest.mark.parametrize(("case", "verdict"), [(planted, Verdict.FAIL), (clean, Verdict.PASS)])
def test_without_masks_objects_that_stand_out_are_found(case, verdict):
    classifier, image_set = case()
    (finding,) = audit(classifier, without_masks(image_set), checks=["reliance.background"]).findings
    assert finding.verdict == verdict
    assert "objects were found by two segmentations that agree. 38 images of 40" in finding.caveats[0]


def corner_marks() -> ImageSet:
    """The same squares; the background is gray, but for a bright corner at the top left of large squares."""
    plain = images()
    arrays = np.stack([np.asarray(plain[i]) for i in range(len(plain))])
    masks = np.stack([np.asarray(plain.mask(i)) > 0 for i in range(len(plain))])
    arrays = np.where(masks, 255, 26).astype(np.uint8)
    arrays[1::2, 0, 0] = 102
    return ImageSet.from_arrays(arrays, plain.labels, masks=masks)


def test_a_mark_at_a_fixed_place_is_no_background():
    """Mirrored, the mark is at the top right; where backgrounds are all alike, nothing else can make a gap."""
    result = result_of((planted()[0], corner_marks()))
    right = dict(zip(VARIANTS, result.correct.mean(0), strict=True))
    assert right["Mixed-same"] - right["Mixed-rand"] > 0.3
    assert right["Mixed-same, mirrored"] == right["Mixed-rand, mirrored"] == 0.5
    (finding,) = result.findings()
    assert finding.verdict == Verdict.PASS
    assert "both mirrored, a gap of 0 points" in finding.claim


def test_it_says_which_classes_were_left_out_and_why():
    classifier, image_set = planted()
    names = ("small", "large", "rare")
    three = formula(lambda x: functional.pad(classifier(x), (0, 1), value=-9.0), 28, 1, names)
    masks = [np.asarray(image_set.mask(i)) if i > 3 else None for i in range(40)]
    arrays = [np.asarray(image_set[i]) for i in range(40)]
    labels = ["rare" if i < 5 else label for i, label in enumerate(image_set.labels)]
    result = result_of((three, ImageSet.from_arrays(arrays, labels, masks=masks)))
    (finding,) = result.findings()
    assert "36 images of 40 have one, and 2 of 3 classes were measured." in finding.caveats[0]
    assert finding.caveats[1] == "Left out, with fewer than 2 images whose object is known: rare (1 of 5)."
    assert len(result.correct) == 35


def test_a_gap_between_objects_found_by_co_localization_only_warns():
    """Objects found so are rough; masks of the same objects fail."""
    found = result_of(planted())
    assert [f.verdict for f in found.findings()] == [Verdict.FAIL]
    rough = replace(found, objects=replace(found.objects, how="co-localization"))
    (finding,) = rough.findings()
    assert finding.verdict == Verdict.WARN
    assert "co-localization with the embedded network, which is rough" in finding.caveats[0]


def test_objects_in_clutter_are_found_by_co_localization():
    """Parts of photographs, most of which have nothing that stands out."""
    pixels = (crops(24, 32).permute(0, 2, 3, 1) * 255).byte().numpy()
    classifier = formula(lambda x: torch.stack([x[:, 0].mean((1, 2)), x[:, 2].mean((1, 2))], 1), 32, 3, NAMES)
    engine = LocalEngine()
    recording = record(classifier, ImageSet.from_arrays(pixels, [NAMES[i % 2] for i in range(24)]), engine)
    objects = known_objects(recording, engine, seed=0)
    assert objects.how == "co-localization"
    assert objects.subject.found_masks is not None
    assert len(objects.rows) == sum(objects.known.values()) > 0
    assert objects.subject.masks(objects.rows.tolist()).float().mean((1, 2)).min() > 0


def test_it_says_how_many_classes_were_not_searched():
    names = [f"class {k}" for k in range(15)]
    classifier = formula(lambda x: torch.nn.functional.one_hot((x.mean((1, 2, 3)) * 14).long(), 15) * 9.0, 16, 1, names)
    shapes = np.zeros((300, 16, 16), dtype=np.uint8)
    shapes[:, 5:11, 5:11] = 200
    engine = LocalEngine()
    recording = record(classifier, ImageSet.from_arrays(shapes, [names[i % 15] for i in range(300)]), engine)
    objects = known_objects(recording, engine, seed=0)
    assert len(objects.searched) == 12
    assert objects.caveats(2)[-1] == (
        "Not searched: 3 classes with fewer images. Where masks are given, no class is left out."
    )
