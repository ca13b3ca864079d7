"""Pieces that recur at one place: planted patches, what is not a patch, and the mathematics behind both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from deeptroubles.methods.reliance.fixed_patches import fixed_patches
from deeptroubles.methods.reliance.shared.recurrence import PIECE, Whitening, likelihood_ratio, steady
from tests.photographs import crops, patch, textures, with_patch

CLASSES = torch.arange(4).repeat_interleave(20)


def planted(images, rows, *, top=2, left=21):
    return with_patch(images, rows, top, left, patch())


def overlap(found, top=2, left=21, side=8):
    """The intersection over union of a patch's mask and its true place."""
    true = np.zeros(found.masks.shape[1:], bool)
    true[top : top + side, left : left + side] = True
    return (true & found.masks[0]).sum() / (true | found.masks[0]).sum()


@pytest.mark.parametrize("photographs", [textures, crops])
@pytest.mark.parametrize("count", [8, 20])
def test_a_planted_patch_is_found_with_its_images_and_its_place(photographs, count):
    rows = torch.arange(20, 20 + count)
    first = fixed_patches(planted(photographs(80), rows), CLASSES)[0]
    assert first.target == 1
    assert first.fixed
    assert sorted(first.rows) == rows.tolist()
    assert first.masks.shape == (count, 32, 32)
    assert overlap(first) > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_textures_without_a_patch_have_none(seed):
    assert fixed_patches(textures(80, seed=seed), CLASSES) == []


def test_a_patch_on_all_classes_is_not_typical_of_one():
    assert fixed_patches(planted(textures(80), torch.arange(80)), CLASSES) == []


def test_copies_of_a_photograph_are_not_a_patch():
    images = textures(80)
    images[20:30] = (images[20] + 0.01 * torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(1))).clamp(
        0, 1
    )
    assert fixed_patches(images, CLASSES) == []


def test_the_order_of_the_images_only_changes_their_numbers():
    images = planted(textures(80), torch.arange(20, 34))
    order = torch.randperm(80, generator=torch.Generator().manual_seed(2))
    first, again = fixed_patches(images, CLASSES)[0], fixed_patches(images[order], CLASSES[order])[0]
    assert sorted(order[again.rows].tolist()) == sorted(first.rows)
    assert np.array_equal(first.masks[0], again.masks[0])


def test_each_of_two_classes_has_its_own_patch():
    images = with_patch(textures(80), torch.arange(20), 22, 22, patch(seed=1))
    images = with_patch(images, torch.arange(60, 80), 1, 1, patch(seed=2))
    found = {f.target: f for f in fixed_patches(images, CLASSES)}
    assert set(found) == {0, 3}
    assert overlap(found[0], 22, 22) > 0.5
    assert overlap(found[3], 1, 1) > 0.5


def test_whitened_pieces_are_uncorrelated_with_the_variance_of_a_closed_form():
    """A direction of variance v becomes v / (v + 0.001): 1, except where there is next to nothing."""
    images = textures(60)
    pieces = Whitening.of(images, 1).pieces(images, 1).flatten(0, 1)
    covariance = torch.cov(pieces.T)
    raw = torch.nn.functional.unfold(images, PIECE).transpose(1, 2).flatten(0, 1)
    variances = np.linalg.eigvalsh(np.cov(raw.numpy().T.astype(np.float64)))
    expected = np.diag(variances / (variances + 1e-3))
    assert np.abs(covariance.numpy() - expected).max() < 0.05  # 30,000 of 37,500 pieces are the sample


def test_the_likelihood_ratio_is_that_of_two_binomials():
    matches, total, usual = torch.tensor([0.0, 3.0, 10.0, 19.0, 20.0]), 20, torch.tensor(0.2)
    own = stats.binom.logpmf(matches.numpy(), total, matches.numpy() / total)
    expected = np.where(matches / total > 0.2, own - stats.binom.logpmf(matches.numpy(), total, 0.2), 0)
    assert likelihood_ratio(matches, total, usual.expand(5)).numpy() == pytest.approx(expected, abs=1e-3)


def test_steady_pixels_are_those_that_carriers_share():
    images = planted(textures(40), torch.arange(20))
    mask = steady(images[:20], images[20:].var(0).mean(0))
    assert mask[3:9, 22:28].all()
    mask[1:11, 20:30] = False
    assert mask.float().mean() < 0.1
