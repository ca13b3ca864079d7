"""data.classes: labels without a class are said, and so is how labels were read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict, audit
from tests.networks import formula

COLORS = ("red", "green", "blue")


def network(names=COLORS):
    return formula(lambda x: x.mean((2, 3)) * 5, 8, 3, names)


def images(labels, count=60):
    """Red, green and blue images in turn, with their labels."""
    arrays = np.zeros((count, 8, 8, 3), dtype=np.uint8)
    for i, array in enumerate(arrays):
        array[..., i % 3] = 200
    return ImageSet.from_arrays(arrays, [labels[i % 3] for i in range(count)])


def planted():
    """No label has a class."""
    return network(), images(("rouge", "vert", "bleu"))


def clean():
    return network(), images(COLORS)


def verdicts(classifier, given, *checks):
    return {f.check: f for f in audit(classifier, given, checks=list(checks) or None).findings}


def test_where_nothing_matches_both_lists_and_the_option_are_said():
    claim = verdicts(*planted(), "data.classes")["data.classes"].claim
    for word in ("rouge", "vert", "bleu", "red", "green", "blue", "--classes", "60"):
        assert word in claim


def test_a_misspelt_class_is_a_warning_with_its_nearest_name_and_stands_beside_the_accuracy_of_the_others():
    found = verdicts(network(), images(("red", "gren", "blue")), "performance.accuracy")
    assert found["data.classes"].verdict == Verdict.WARN
    assert "20 of 60 labelled images have a label without a class" in found["data.classes"].claim
    assert "gren (nearest class: green)" in found["data.classes"].claim
    assert found["performance.accuracy"].verdict == Verdict.PASS
    assert any("20 images have labels without a class" in text for text in found["performance.accuracy"].caveats)


def test_it_is_not_shown_where_there_is_nothing_to_do():
    assert set(verdicts(*clean(), "performance.accuracy")) == {"performance.accuracy"}
    unlabelled = ImageSet.from_arrays(np.zeros((3, 8, 8, 3), dtype=np.uint8))
    assert set(verdicts(network(), unlabelled, "performance.accuracy")) == {"performance.accuracy"}


def test_how_labels_were_read_stands_beside_the_verdict():
    found = verdicts(network(None), images(("1", "2", "3")), "performance.accuracy")
    assert found["performance.accuracy"].verdict == Verdict.PASS
    assert any("counted from 1" in text for text in found["performance.accuracy"].caveats)


@pytest.mark.parametrize("check", ["performance", "data.labels", "stability.corruption", "fairness"])
def test_where_it_is_open_what_labels_mean_all_that_needs_them_is_inconclusive(check):
    blind = formula(lambda x: torch.eye(3)[[0] * len(x)] + x.mean((2, 3)), 8, 3)  # it always predicts class 0
    found = verdicts(blind, images(("b", "c", "a")), check)
    assert found.pop("data.classes").verdict == Verdict.INCONCLUSIVE
    from deeptroubles.checks.registry import all_checks

    for name, finding in found.items():
        if all_checks()[name].needs_labels:
            assert finding.verdict == Verdict.INCONCLUSIVE
            assert "open which class each label means" in finding.claim
        else:
            assert "crashed" not in finding.claim
