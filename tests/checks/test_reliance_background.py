from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.reliance.background import VARIANTS, background
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import formula

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


def test_a_network_that_sees_the_background_alone_answers_it_in_every_variant():
    right = dict(zip(VARIANTS, result_of(planted()).correct.T, strict=True))
    assert (right["Original"] == 1).all()
    assert (right["Mixed-same"] == 1).all()
    assert (right["Mixed-next"] == 0).all()
    assert (right["Only-BG-T"] == 1).all()
    assert (right["Only-BG-B"] == 1).all()
    assert 0.3 < right["Mixed-rand"].mean() < 0.7  # any of two classes
    assert right["Only-FG"].tolist() == [1.0, 0.0] * 20  # black is darker than both


def test_a_network_that_sees_the_object_alone_answers_it_on_every_background():
    right = dict(zip(VARIANTS, result_of(clean()).correct.T, strict=True))
    for name in ("Original", "Mixed-same", "Mixed-rand", "Mixed-next", "Only-FG"):
        assert (right[name] == 1).all(), name
    assert right["No-FG"].tolist() == [1.0, 0.0] * 20  # nothing white is small


def test_one_class_has_no_other_background():
    classifier, image_set = planted()
    (finding,) = audit(classifier, image_set.subset(range(0, 40, 2)), checks=["reliance.background"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "0 masked objects" in finding.claim


def test_without_masks_it_is_not_asked():
    classifier, image_set = planted()
    plain = ImageSet(image_set.name, image_set.table, image_set.fetch)
    (finding,) = audit(classifier, plain, checks=["reliance.background"]).findings
    assert finding.verdict == Verdict.SKIPPED
    assert "object masks" in finding.claim
