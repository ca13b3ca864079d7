from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict
from deeptroubles.checks.reliance.object import _verdict, centered_discs
from deeptroubles.checks.reliance.object import object as object_evidence
from deeptroubles.engine import LocalEngine
from deeptroubles.recording import record
from deeptroubles.statistics.intervals import Interval
from tests.networks import blobs, formula


def images(count: int = 40) -> ImageSet:
    """White squares near the rim, and a mark in the corner."""
    centers = [(22 - i % 3, 6 + i % 17) for i in range(count)]
    arrays = blobs(centers)
    masks = arrays > 0
    arrays[:, :4, -4:] = 255
    return ImageSet.from_arrays(arrays, masks=masks)


def planted():
    """It sees the mark alone."""
    return formula(lambda x: torch.stack([x[:, :, :4, -4:].sum((1, 2, 3)), x.sum((1, 2, 3)) * 0], 1)), images()


def clean():
    """It sees the lower half, where the objects are."""
    return formula(lambda x: torch.stack([x[:, :, 14:].sum((1, 2, 3)), x.sum((1, 2, 3)) * 0], 1)), images()


@pytest.mark.parametrize(("case", "share"), [(planted, 0.0), (clean, 1.0)])
def test_all_evidence_of_a_sum_lies_in_what_is_summed(case, share):
    engine = LocalEngine()
    result = object_evidence(record(*case(), engine), engine, seed=0)
    assert np.allclose(result.inside, share, atol=1e-6)
    assert np.allclose(result.area, 81 / 784)  # 7 x 7 and a rim of one pixel
    assert (result.pointed == bool(share)).all()


def test_discs_have_the_area_asked_for_and_lie_in_the_middle():
    discs = centered_discs(torch.tensor([1, 4, 50, 77]), (7, 11))
    assert discs.sum((1, 2)).tolist() == [1, 4, 50, 77]
    assert discs[0, 3, 5]
    assert discs[3].all()
    y, x = discs[2].nonzero().float().mean(0).tolist()
    assert abs(y - 3) < 0.2
    assert abs(x - 5) < 0.2


@pytest.mark.parametrize(
    ("over_area", "over_center", "count", "verdict"),
    [
        ((-0.02, -0.06, 0.02), (-0.3, -0.4, -0.2), 40, Verdict.FAIL),
        ((0.2, 0.1, 0.3), (-0.3, -0.4, -0.2), 40, Verdict.INCONCLUSIVE),
        ((0.2, 0.1, 0.3), (0.0, -0.1, 0.1), 40, Verdict.INCONCLUSIVE),
        ((0.4, 0.3, 0.5), (0.2, 0.1, 0.3), 40, Verdict.PASS),
        ((-0.02, -0.06, 0.02), (-0.3, -0.4, -0.2), 9, Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts(over_area, over_center, count, verdict):
    assert _verdict(Interval(*over_area), Interval(*over_center), count) == verdict
