from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.looks import FIRST
from deeptroubles.checks.stability.corruption import NAMES, corruption
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.transforms.corrupt import corrupt
from deeptroubles.recording import record
from tests.networks import blobs, formula


def images(count=30) -> ImageSet:
    return ImageSet.from_arrays(blobs([(12 + i % 4, 7 + 13 * (i % 2)) for i in range(count)]))


def planted():
    """It says whether all pixels are purely black or white."""

    def impure(x):
        return ((x - x.round()).abs() > 0.02).float().sum((1, 2, 3)) - 3

    return formula(lambda x: torch.stack([-impure(x), impure(x)], 1)), images()


def clean():
    """It says on which side the light is."""
    side = torch.linspace(-1, 1, 28)
    return formula(lambda x: torch.stack([(x * -side).sum((1, 2, 3)), (x * side).sum((1, 2, 3))], 1)), images()


def measure(classifier, image_set, seed=0):
    engine = LocalEngine()
    return corruption(record(classifier, image_set, engine), engine, seed=seed)


def test_counts_equal_a_slow_loop():
    classifier, image_set = planted()
    found = measure(classifier, image_set, seed=3)
    for row in (0, 7, 29):
        pixels = classifier.prepare(image_set[row])[None]
        first = classifier(pixels).argmax()
        for j, name in enumerate(NAMES):
            again = classifier(corrupt(pixels, name, int(found.severity[row, j]), seed=3 + row)).argmax()
            assert found.changed[row, j] == bool(again != first)


def test_every_image_meets_every_severity_equally_often():
    found = measure(*planted())
    for row in found.severity:
        assert np.bincount(row, minlength=6)[1:].tolist() == [3] * 5
    for column in found.severity.T:
        assert np.bincount(column, minlength=6)[1:].tolist() == [6] * 5


def test_correct_predictions_are_those_of_labelled_images():
    classifier, image_set = planted()
    arrays = np.stack([np.asarray(image_set[i]) for i in range(10)])
    labels = [None, "class 0"] * 5
    found = measure(classifier, ImageSet.from_arrays(arrays, labels=labels))
    assert found.correct_before == 5
    assert found.labelled.tolist() == [False, True] * 5
    assert np.array_equal(found.correct[1::2], ~found.changed[1::2])


def test_no_more_images_are_corrupted_than_the_verdict_needs():
    classifier, _ = clean()
    found = measure(classifier, images(300))
    assert FIRST <= len(found.changed) < 300
    assert any(f"{len(found.changed)} of 300 images were looked at" in c for c in next(iter(found.findings())).caveats)


def test_small_images_are_not_asked_about():
    classifier = formula(lambda x: torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], 1), 16)
    (finding,) = measure(classifier, ImageSet.from_arrays(np.zeros((3, 16, 16), dtype=np.uint8))).findings()
    assert finding.verdict == Verdict.SKIPPED
    assert "28 pixels" in finding.claim
