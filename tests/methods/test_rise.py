"""RISE: against exhaustive enumeration of its masks, and on classifiers whose answer is known."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.rise import draw_masks, rise, scale_and_crop
from tests.networks import formula

SIZE = (5, 6)


@pytest.fixture
def image():
    return torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(1))


def sees_corner(x):
    """Class 0 is as likely as the upper left corner is bright, in a way that is not linear."""
    score = 4 * x[:, 0, :2, :2].mean((1, 2)) * (1 + x[:, 0, 3, 4]) - 1
    return torch.stack([score, torch.zeros_like(score)], 1)


def every_mask(grid):
    """Every grid of cells with every shift, and the number of cells that are kept."""
    cells = torch.tensor(list(itertools.product([0.0, 1.0], repeat=grid * grid))).view(-1, grid, grid)
    cell = [-(-length // grid) for length in SIZE]
    shifts = torch.cartesian_prod(*(torch.arange(n) for n in cell))
    masks = torch.stack([scale_and_crop(cells, shift.expand(len(cells), 2), SIZE) for shift in shifts])
    return masks.flatten(0, 1), cells.sum((1, 2)).repeat(len(shifts)), len(shifts)


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_it_is_the_average_over_all_masks(image, keep):
    classifier = formula(sees_corner, size=SIZE)
    masks, kept, shifts = every_mask(2)
    chance = keep**kept * (1 - keep) ** (4 - kept) / shifts
    with torch.no_grad():
        probability = classifier(image * masks[:, None]).softmax(1)[:, 0]
    expected = torch.einsum("m,m,mhw->hw", chance, probability, masks) / keep
    draws = 8000
    spread = torch.einsum("m,mhw->hw", chance, (probability[:, None, None] * masks / keep - expected) ** 2).sqrt()
    found = rise(classifier, image, 0, masks=draws, grid=2, keep=keep, batch_size=500)[0]
    assert ((found - expected).abs() <= 4.5 * spread / draws**0.5 + 1e-6).all()


def test_masks_are_the_paper_s():
    """Scaled up to one cell more than the image, cut out at the shift."""
    cells = (torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    shifts = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    for mask, cell, (top, left) in zip(scale_and_crop(cells, shifts, SIZE), cells, shifts.tolist(), strict=True):
        large = functional.interpolate(cell[None, None], size=(8, 8), mode="bilinear", align_corners=False)[0, 0]
        assert torch.equal(mask, large[top : top + 5, left : left + 6])


@pytest.mark.parametrize("keep", [0.2, 0.7])
def test_every_pixel_is_seen_equally_often(keep):
    masks = draw_masks(20000, (9, 12), 3, keep, torch.Generator().manual_seed(0))
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks.mean(0) - keep).abs().max() < 0.015


def test_a_classifier_that_sees_nothing_has_a_flat_map(image):
    constant = formula(lambda x: x.sum((1, 2, 3))[:, None] * 0 + torch.tensor([1.5, 0.0]), size=SIZE)
    found = rise(constant, image, 0, masks=4000, grid=2)[0]
    assert (found - torch.tensor([1.5, 0.0]).softmax(0)[0]).abs().max() < 0.04


def test_the_highest_pixels_are_those_that_are_seen(image):
    found = rise(
        formula(lambda x: torch.stack([5 * x[:, 0, 0, 0], -5 * x[:, 0, 0, 0]], 1), size=SIZE),
        torch.ones_like(image),
        0,
        masks=2000,
        grid=3,
    )[0]
    assert found.argmax() == 0
    assert (found >= 0).all()


def test_against_another_class_it_is_the_difference_of_two_maps(image):
    classifier = formula(sees_corner, size=SIZE)
    first, second, lead = (rise(classifier, image, *which, masks=50, grid=2) for which in ((0,), (1,), (0,)))
    lead = rise(classifier, image, 0, against=1, masks=50, grid=2)
    torch.testing.assert_close(lead, first - second)


def test_the_seed_decides_the_masks_and_batches_do_not_matter(image):
    classifier = formula(sees_corner, size=SIZE)
    first, again, other = (rise(classifier, image, 0, masks=40, grid=2, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("settings", [{"masks": 0}, {"keep": 0.0}, {"keep": 1.5}, {"grid": 0}, {"grid": 6}])
def test_settings_that_mean_nothing_are_told(image, settings):
    with pytest.raises(UsageError, match=r"RISE cannot use .* choose"):
        rise(formula(sees_corner, size=SIZE), image, **settings)
