from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.methods.clustering.spray import BOX, SIDE
from tests.networks import Untraceable

COUNT, SIZE, CELL = 80, 32, 8


@cache
def data():
    """Squares anywhere, red or blue; a patch at the bottom left of the same color; and where the squares are."""
    random = np.random.default_rng(0)
    pictures = random.integers(90, 110, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
    masks = np.zeros((COUNT, SIZE, SIZE), dtype=bool)
    for i, picture in enumerate(pictures):
        y, x = random.integers(2, SIZE - 12, 2)
        masks[i, y : y + 10, x : x + 10] = True
        masks[i, -CELL:, :CELL] = False
        color = np.array((220, 40, 40) if i % 2 else (40, 40, 220), dtype=np.uint8)
        picture[masks[i]] = color
        picture[-CELL:, :CELL] = color
    return pictures, masks


def images(*, with_masks: bool = True):
    pictures, masks = data()
    return ImageSet.from_arrays(pictures, masks=masks if with_masks else None)


def reader(where: torch.Tensor) -> Classifier:
    """Red against blue, read from some cells of the image (4 x 4) only."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AvgPool2d(CELL), nn.Flatten(), nn.Linear(32, 2))
    weights = where.flatten() * 8
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]])[:, :, None, None])
        network[0].bias.zero_()
        network[4].weight.copy_(torch.stack([torch.cat([-weights, weights]), torch.cat([weights, -weights])]))
        network[4].bias.zero_()
    return Classifier(network, size=SIZE, class_names=["blue", "red"])


def planted():
    """It looks at the patch at the bottom left, not at the square."""
    corner = torch.zeros(4, 4)
    corner[3, 0] = 1
    return reader(corner), images()


def clean():
    """It looks everywhere but at that corner."""
    rest = torch.ones(4, 4)
    rest[3, 0] = 0
    return reader(rest), images()


@pytest.mark.parametrize("with_masks", [True, False])
def test_the_place_is_named_and_every_image_counts(with_masks):
    classifier, _ = planted()
    (finding,) = audit(classifier, images(with_masks=with_masks), checks=["reliance.clusters"]).findings
    assert finding.verdict == Verdict.FAIL
    assert "the bottom left" in finding.claim
    assert ("off the object" in finding.claim) == with_masks
    estimate = finding.evidence[0]
    assert (estimate.value, estimate.n) == (1, COUNT // 2)
    assert any("masks would separate" in caveat for caveat in finding.caveats) == (not with_masks)


def test_the_pictures_show_the_place_in_mean_maps_and_members():
    (finding,) = audit(*planted(), checks=["reliance.clusters"]).findings
    means, members = (e for e in finding.evidence if e.kind == "heatmaps")
    for item in (*means.items, *members.items):
        values = np.maximum(np.array(item.values), 0)
        assert values.shape == (SIDE, SIDE)
        assert values[-BOX:, :BOX].sum() > 0.9 * values.sum()
        assert item.picture is not None
    (curve,) = (e for e in finding.evidence if e.kind == "curve")
    assert {series.name for series in curve.series} == {"blue", "red"}
    assert all(series.y[0] == pytest.approx(0, abs=1e-4) for series in curve.series)


def test_it_says_that_it_is_no_detector():
    for case in (planted, clean):
        (finding,) = audit(*case(), checks=["reliance.clusters"]).findings
        assert any("not to detect" in caveat and "0.48" in caveat for caveat in finding.caveats)


@pytest.mark.filterwarnings("ignore:.*could not be traced")
def test_a_network_that_cannot_be_traced_is_no_crash():
    untraceable = Classifier(Untraceable(), size=SIZE)
    (finding,) = audit(untraceable, images(), checks=["reliance.clusters"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "LRP" in finding.claim


def test_few_images_are_inconclusive():
    (finding,) = audit(planted()[0], images().subset(range(12)), checks=["reliance.clusters"]).findings
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert not finding.evidence
