"""Pieces that recur anywhere: planted logos are found where they are, and textures have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles.methods.reliance.loose_patches import loose_patches
from tests.photographs import crops, patch, textures

CLASSES = torch.arange(3).repeat_interleave(20)


def scattered(images, rows, seed=0):
    """Images with the same patch at places of their own, and the corners of these."""
    random, images, corners = torch.Generator().manual_seed(seed), images.clone(), {}
    for row in rows:
        top, left = torch.randint(1, 23, (2,), generator=random).tolist()
        images[row, :, top : top + 8, left : left + 8] = patch()
        corners[row] = (top, left)
    return images, corners


@pytest.mark.parametrize("photographs", [textures, crops])
def test_a_logo_without_a_fixed_place_is_found_where_it_is(photographs):
    images, corners = scattered(photographs(60), range(20, 36))
    first = loose_patches(images, CLASSES)[0]
    assert first.target == 1
    assert not first.fixed
    assert set(first.rows) <= set(corners)
    assert len(first.rows) >= 14
    for row, mask in zip(first.rows, first.masks, strict=True):
        top, left = corners[row]
        true = np.zeros((32, 32), dtype=bool)
        true[top : top + 8, left : left + 8] = True
        assert (true & mask).sum() / (true | mask).sum() > 0.4


def test_textures_without_a_logo_have_none():
    assert loose_patches(textures(60, seed=3), CLASSES) == []


def test_a_logo_on_all_classes_is_not_typical_of_one():
    assert loose_patches(scattered(textures(60), range(60))[0], CLASSES) == []


def test_the_order_of_the_images_only_changes_their_numbers():
    images, _ = scattered(textures(60), range(20, 36))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    first, again = loose_patches(images, CLASSES)[0], loose_patches(images[order], CLASSES[order])[0]
    assert sorted(order[again.rows].tolist()) == sorted(first.rows)


def test_one_class_has_nothing_to_be_compared_with():
    assert loose_patches(textures(20), torch.zeros(20, dtype=torch.long)) == []
