from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deeptroubles import Classifier, occlusion
from deeptroubles.methods.attribution.shared.quality import (
    energy_inside,
    faithfulness,
    pointing_game,
    randomized,
    rank_correlation,
)
from tests.networks import Plain, formula

WEIGHTS = torch.randn(1, 1, 14, 14, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def linear():
    """The logit of class 0 is a weighted sum of the pixels; the mean color is black."""
    return formula(lambda x: torch.stack([(x * WEIGHTS).sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), 14)


@pytest.fixture
def pixels():
    return torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(4))


def test_deletion_and_insertion_in_closed_form(linear, pixels):
    contribution = (pixels * WEIGHTS)[:, 0]
    found = faithfulness(linear, pixels, contribution, 0, steps=4)
    for row in range(2):
        ordered = contribution[row].flatten().sort(descending=True).values
        for step in range(5):
            cut = step * 49
            assert torch.isclose(found.deletion[row, step], ordered[cut:].sum().sigmoid(), atol=1e-5)
            assert torch.isclose(found.insertion[row, step], ordered[:cut].sum().sigmoid(), atol=1e-5)


def test_no_order_deletes_faster_than_the_true_one(linear, pixels):
    best = faithfulness(linear, pixels, (pixels * WEIGHTS)[:, 0], 0)
    for seed in range(5):
        other = torch.rand(2, 14, 14, generator=torch.Generator().manual_seed(seed))
        found = faithfulness(linear, pixels, other, 0)
        assert (best.deletion_area < found.deletion_area).all()
        assert (best.insertion_area > found.insertion_area).all()


def test_the_area_of_a_constant_curve_is_its_height():
    constant = formula(lambda x: torch.stack([0 * x.sum((1, 2, 3)), 0 * x.sum((1, 2, 3))], 1), 8)
    found = faithfulness(constant, torch.rand(1, 1, 8, 8), torch.rand(1, 8, 8), 0)
    assert found.deletion_area.item() == found.insertion_area.item() == 0.5


def test_pointing_game_by_hand():
    maps, masks = torch.zeros(3, 20, 20), torch.zeros(3, 20, 20, dtype=torch.bool)
    masks[:2, 5:10, 5:10] = True
    maps[0, 7, 7], maps[1, 7, 14], maps[2, 0, 0] = 1, 1, 1
    assert pointing_game(maps, masks, tolerance=0).tolist() == [True, False, False]
    assert pointing_game(maps, masks, tolerance=5).tolist() == [True, True, False]
    assert pointing_game(maps, masks, tolerance=4).tolist() == [True, False, False]


def test_energy_counts_only_what_is_positive():
    maps, masks = torch.tensor([[[3.0, 1.0], [-9.0, 0.0]]]), torch.tensor([[[True, False], [True, True]]])
    assert energy_inside(maps, masks).item() == 0.75


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=16, max_size=16), st.integers(0, 100))
def test_agreement_is_spearmans(values, seed):
    a = torch.tensor(values, dtype=torch.float).view(1, 4, 4)
    b = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(seed)).mul(4).round()
    if a.unique().numel() == 1 or b.unique().numel() == 1:
        assert rank_correlation(a, b).item() == 0
    else:
        assert np.isclose(rank_correlation(a, b).item(), stats.spearmanr(a.flatten(), b.flatten()).statistic)


def test_agreement_of_different_resolutions():
    coarse = torch.rand(1, 4, 4)
    fine = torch.nn.functional.interpolate(coarse[None], (16, 16), mode="bilinear")[0]
    assert rank_correlation(coarse, fine).item() == pytest.approx(1)


def test_randomized_weights_come_back_even_after_a_failure():
    classifier = Classifier(Plain(), size=16)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}

    def fail():
        with randomized(classifier, 1.0):
            assert not torch.equal(classifier.module[0].weight, before["module.0.weight"])
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match="in the block"):
        fail()
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())


def test_cascading_and_independent_randomization():
    classifier = Classifier(Plain(), size=16)
    names = [name for name, _ in classifier.module.named_parameters()][::-1]
    before = {name: value.clone() for name, value in classifier.module.named_parameters()}

    def changed(share, cascading):
        with randomized(classifier, share, cascading=cascading):
            return [n for n in names if not torch.equal(before[n], dict(classifier.module.named_parameters())[n])]

    moving = [n for n in names if before[n].unique().numel() > 1]  # batch norm starts with equal entries
    assert changed(1.0, cascading=True) == moving
    assert changed(0.2, cascading=True) == names[:2]
    assert changed(0.2, cascading=False) == names[1:2]
    assert changed(0.0, cascading=True) == []


def test_occlusion_beats_noise_on_a_network():
    classifier = Classifier(Plain(), size=16)
    pixels = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    maps = occlusion(classifier, pixels, window=2, stride=1)
    noise = torch.rand(8, 16, 16, generator=torch.Generator().manual_seed(1))
    good, chance = (faithfulness(classifier, pixels, m).deletion_area.mean() for m in (maps, noise))
    assert good < chance
