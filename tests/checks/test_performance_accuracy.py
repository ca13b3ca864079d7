from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.performance.accuracy import accuracy
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from tests.networks import formula

COLOURS = ("red", "green", "blue")


def colors(each: int = 20) -> ImageSet:
    arrays = np.zeros((3 * each, 8, 8, 3), dtype=np.uint8)
    for i, array in enumerate(arrays):
        array[..., i % 3] = 200
    return ImageSet.from_arrays(arrays, [COLOURS[i % 3] for i in range(3 * each)])


def model(blind: bool):
    handicap = torch.tensor([0.0, 0.0, -10.0 if blind else 0.0])
    return formula(lambda x: x.mean((2, 3)) * 5 + handicap, 8, 3, COLOURS)


def planted():
    """One class of three is never recognized, though two thirds of the predictions are correct."""
    return model(blind=True), colors()


def clean():
    return model(blind=False), colors()


def test_counts_are_the_plain_ones():
    classifier, images = planted()
    result = accuracy(record(classifier, images, LocalEngine()), LocalEngine(), seed=0)
    assert (result.correct, result.images) == (40, 60)
    assert result.baseline == 1 / 3
    assert next((c.name, c.correct, c.images) for c in result.classes) == ("blue", 0, 20)
    assert result.confused == (("blue", "red", 20),)
    assert [c.name for c in result.failing_classes()] == ["blue"]


def test_few_images_are_inconclusive():
    classifier, _ = clean()
    (finding,) = audit(classifier, colors(1), checks=["performance.accuracy"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE


def found_in(result):
    """The finding of this check; where labels fit another order better, there is one about the classes too."""
    return next(f for f in result.findings if f.check == "performance.accuracy")


def test_worse_than_the_most_common_class_fails():
    names = ("red", "green", "blue")
    classifier = formula(lambda x: -x.mean((2, 3)) * 5, 8, 3, names)
    finding = found_in(audit(classifier, colors(), checks=["performance.accuracy"]))
    assert finding.verdict == Verdict.FAIL


def of_one_class(predicted: str) -> tuple[Verdict, str]:
    """Twenty red images, of which all are predicted as one class."""
    bias = torch.tensor([10.0 * (name == predicted) for name in COLOURS])
    images = ImageSet.from_arrays(np.full((20, 8, 8, 3), 99, dtype=np.uint8), ["red"] * 20)
    classifier = formula(lambda x: x.mean((2, 3)) + bias, 8, 3, COLOURS)
    finding = found_in(audit(classifier, images, checks=["performance.accuracy"]))
    return finding.verdict, finding.claim


def test_a_baseline_that_cannot_be_beaten_is_no_failure():
    verdict, claim = of_one_class("red")
    assert verdict == Verdict.INCONCLUSIVE
    assert "all of class red" in claim


def test_a_single_class_that_is_never_recognized_fails():
    assert of_one_class("blue")[0] == Verdict.FAIL


def test_unlabelled_images_skip_it():
    classifier, _ = clean()
    images = ImageSet.from_arrays(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    (finding,) = audit(classifier, images, checks=["performance.accuracy"]).findings
    assert finding.verdict == Verdict.SKIPPED
    assert "label" in finding.claim
