"""data.balance: what it counts, what it says of splits, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict, audit
from tests.networks import formula

NAMES = ("zero", "one", "two", "three")


def classifier():
    return formula(lambda x: torch.stack([x.sum((1, 2, 3)) * k for k in range(4)], 1), size=8, names=NAMES)


def images(counts, splits=None):
    labels = np.repeat(NAMES[: len(counts)], counts)
    pixels = np.zeros((len(labels), 8, 8), dtype=np.uint8)
    return ImageSet.from_arrays(pixels, labels.tolist(), {"split": splits} if splits is not None else None)


def planted():
    """One class has sixty times as many images as another."""
    return classifier(), images((120, 60, 60, 2))


def clean():
    """Similar counts of every class, and the same shares in both splits."""
    counts = (50, 55, 45, 60)
    return classifier(), images(counts, [("train", "test")[i % 3 == 0] for i in range(sum(counts))])


def found(counts, splits=None):
    (finding,) = audit(classifier(), images(counts, splits), checks=["data.balance"]).findings
    return finding


def test_it_counts():
    finding = found((120, 60, 60, 2))
    assert "effective number of classes is 2.9 of 4" in finding.claim
    assert "(zero, 120 images) is 60 (" in finding.claim
    assert "smallest (three, 2)" in finding.claim


def test_classes_without_images_are_named_and_warned_of():
    finding = found((60, 60, 60))
    assert finding.verdict == Verdict.WARN
    assert "1 of the model's 4 classes have no image" in finding.claim
    assert [row[0] for row in finding.evidence[-1].rows if row[1] == 0] == ["three"]


def test_splits_with_other_labels_fail():
    splits = ["train"] * 100 + ["test"] * 50 + ["train"] * 10 + ["test"] * 40
    finding = found((50, 50, 50, 50), splits)
    assert finding.verdict == Verdict.FAIL
    assert "differ from the rest beyond chance" in finding.claim
    assert "below 0.01" in finding.claim


@pytest.mark.parametrize(
    ("counts", "splits", "verdict", "sentence"),
    [
        ((30,), None, Verdict.WARN, "All 30 labelled images belong to 1 class (zero) of 4."),
        ((20, 20, 20, 20), ["all"] * 80, Verdict.PASS, "has only one value (all)"),
        ((20, 20, 20, 20), [None] * 80, Verdict.PASS, "has no values"),
        ((20, 20, 20, 1), ["a"] * 60 + ["b"], Verdict.INCONCLUSIVE, "fewer than two have 10 labelled images"),
        ((3, 2), None, Verdict.INCONCLUSIVE, "Based on only 5 images."),
        ((20, 20, 20, 20), ["a", *[None] * 79], Verdict.PASS, "has only one value (a)"),
    ],
)
def test_bad_input_is_a_sentence(counts, splits, verdict, sentence):
    finding = found(counts, splits)
    assert finding.verdict == verdict
    assert sentence in " ".join([finding.claim, *finding.caveats])
