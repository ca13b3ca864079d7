from __future__ import annotations

import pytest
import torch

from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.shuffle_patches import shuffle_patches


def numbered(count=3, height=13, width=18):
    """Every pixel of every image has a value of its own."""
    return torch.arange(count * 2 * height * width, dtype=torch.float32).view(count, 2, height, width)


@pytest.mark.parametrize("grid", [2, 3, 4, 8, 13])
def test_pixels_are_moved_and_nothing_else(grid):
    images = numbered()
    shuffled = shuffle_patches(images, grid, 0)
    assert torch.equal(shuffled.flatten(2).sort().values, images.flatten(2))
    rows, columns = 13 // grid, 18 // grid
    assert torch.equal(shuffled[:, :, grid * rows :], images[:, :, grid * rows :])
    assert torch.equal(shuffled[..., grid * columns :], images[..., grid * columns :])


@pytest.mark.parametrize("grid", [2, 4])
def test_whole_patches_move_and_none_stays(grid):
    images = numbered(4, 16, 16)
    side = 16 // grid
    shuffled = shuffle_patches(images, grid, 3)
    for image, original in zip(shuffled, images, strict=True):
        there = [(y, x) for y in range(grid) for x in range(grid)]

        def cut(picture, y, x, side=side):
            return picture[:, y * side : (y + 1) * side, x * side : (x + 1) * side]

        found = [
            next(place for place in there if torch.equal(cut(original, *place), cut(image, *at))) for at in there
        ]  # a patch that were cut up would not be found
        assert sorted(found) == there
        assert all(came_from != at for came_from, at in zip(found, there, strict=True))


def test_each_image_has_its_own_order_from_the_seed():
    images = numbered(1, 16, 16).expand(2, -1, -1, -1)
    first, state = shuffle_patches(images, 4, 0), torch.get_rng_state()
    assert torch.equal(first, shuffle_patches(images, 4, 0))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, shuffle_patches(images, 4, 1))
    assert not torch.equal(first[0], first[1])


def test_only_the_boxes_are_shuffled():
    images = numbered(2, 16, 16)
    boxes = torch.tensor([[4, 2, 12, 10], [0, 0, 3, 16]])  # the second is too flat for the grid
    shuffled = shuffle_patches(images, 4, 0, boxes)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 2:10] = True
    assert torch.equal(shuffled[0][:, ~inside], images[0][:, ~inside])
    assert (shuffled[0][:, inside] != images[0][:, inside]).all()
    assert torch.equal(shuffled[1], images[1])


def test_wrong_grids_are_told():
    for grid in (1, 14):
        with pytest.raises(UsageError, match="choose 2 to 13"):
            shuffle_patches(numbered(), grid, 0)
