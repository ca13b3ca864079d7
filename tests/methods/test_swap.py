from __future__ import annotations

import pytest
import torch

from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.shared.masks import bounding_boxes, dilate
from deeptroubles.methods.transforms.shared.scenery import GRID, WINDOW_WIDTH, WINDOWS, Scenery, frame, window
from deeptroubles.methods.transforms.swap import CHANNELS, swap
from deeptroubles.planted.planting import draw

DRAWN = draw(8, None, 0, 5)
SCENERY = Scenery(DRAWN.images, DRAWN.masks)
ALL = torch.arange(8)
DONORS = ALL.roll(3)
ROOM = dilate(bounding_boxes(DRAWN.masks), 2)
"""Where objects are, or were before they were in-painted."""


@pytest.mark.parametrize("channel", ["high frequencies", "color"])
def test_a_swap_with_itself_changes_nothing(channel):
    assert torch.allclose(swap(SCENERY, channel, ALL, ALL), DRAWN.images, atol=1e-6)


@pytest.mark.parametrize("channel", ["background", "frame", "position", "window 1 2", "object"])
def test_a_swap_with_itself_changes_nothing_but_where_the_object_was_filled(channel):
    swapped = swap(SCENERY, channel, ALL, ALL)
    assert torch.allclose(
        swapped[~ROOM[:, None].expand_as(swapped)], DRAWN.images[~ROOM[:, None].expand_as(swapped)], atol=1e-6
    )
    inside = DRAWN.masks[:, None].expand_as(swapped)
    assert torch.allclose(swapped[inside], DRAWN.images[inside], atol=1e-6)


@pytest.mark.parametrize("channel", [*CHANNELS, "window 0 0", f"window {GRID - WINDOW_WIDTH} {GRID - WINDOW_WIDTH}"])
def test_a_swap_stays_in_range_and_changes_something(channel):
    swapped = swap(SCENERY, channel, ALL, DONORS)
    assert swapped.shape == DRAWN.images.shape
    assert ((swapped >= 0) & (swapped <= 1)).all()
    assert not torch.equal(swapped, DRAWN.images)


@pytest.mark.parametrize("channel", ["background", "frame", "high frequencies", "window 2 1"])
def test_the_object_stays_in_front(channel):
    inside = DRAWN.masks[:, None].expand_as(DRAWN.images)
    assert torch.equal(swap(SCENERY, channel, ALL, DONORS)[inside], DRAWN.images[inside])


@pytest.mark.parametrize(("channel", "region"), [("frame", frame((32, 32))), ("window 0 3", window((32, 32), 0, 3))])
def test_frame_and_windows_touch_only_their_region(channel, region):
    swapped = swap(SCENERY, channel, ALL, DONORS)
    assert torch.equal(swapped[:, :, ~region], DRAWN.images[:, :, ~region])
    taken = region & (SCENERY.object[:, 0] == 0)
    assert torch.equal(swapped.permute(0, 2, 3, 1)[taken], SCENERY.background[DONORS].permute(0, 2, 3, 1)[taken])


@pytest.mark.parametrize("size", [(32, 32), (30, 45), (9, 11)])
def test_windows_cover_an_image_evenly(size):
    """Every WINDOW_WIDTH-th window in each direction tiles the part of the image that they can."""
    tiles = [window(size, *corner) for corner in WINDOWS.values() if all(step % WINDOW_WIDTH == 0 for step in corner)]
    covered = sum(tile.long() for tile in tiles)
    reach = GRID // WINDOW_WIDTH * WINDOW_WIDTH
    expected = torch.zeros(size, dtype=torch.long)
    expected[: round(reach * size[0] / GRID), : round(reach * size[1] / GRID)] = 1
    assert torch.equal(covered, expected)


def test_the_background_holds_nothing_of_an_object():
    other = torch.where(DRAWN.masks[:, None], 1 - DRAWN.images, DRAWN.images)
    assert torch.equal(Scenery(other, DRAWN.masks).background, SCENERY.background)


def test_color_takes_the_donors_median_color():
    """Away from 0, 1 and the bounds of the gain."""
    scenery = Scenery(0.3 + 0.3 * DRAWN.images, DRAWN.masks)
    swapped = Scenery(swap(scenery, "color", ALL, DONORS), DRAWN.masks)
    assert torch.allclose(swapped.color, scenery.color[DONORS], atol=1e-6)
    assert (swapped.color - scenery.color).abs().max() > 0.05


def test_position_moves_the_object_to_the_donors_place_pixel_by_pixel():
    images = torch.full((2, 3, 20, 20), 0.25)
    masks = torch.zeros(2, 20, 20, dtype=torch.bool)
    masks[0, 3:7, 3:9] = masks[1, 10:18, 11:15] = True
    images[0, :, 3:7, 3:9] = 0.5 + torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0)) / 2
    images[1, :, 10:18, 11:15] = 0.9
    moved = swap(Scenery(images, masks), "position", torch.tensor([0]), torch.tensor([1]))[0]
    expected = torch.full((3, 20, 20), 0.25)
    expected[:, 12:16, 10:16] = images[0, :, 3:7, 3:9]  # centers (5, 6) and (14, 13)
    assert torch.allclose(moved, expected, atol=1e-6)


def test_inner_texture_keeps_outline_and_mean_color_and_takes_the_donors_contrast():
    images = torch.full((2, 1, 24, 24), 0.2)
    masks = torch.zeros(2, 24, 24, dtype=torch.bool)
    masks[0, 4:12, 4:12] = masks[1, 10:20, 8:18] = True
    images[0, :, 4:12, 4:12] = 0.6
    stripes = 0.5 + 0.1 * (torch.arange(10) % 2 * 2 - 1).float()
    images[1, :, 10:20, 8:18] = stripes
    swapped = swap(Scenery(images, masks), "inner texture", torch.tensor([0]), torch.tensor([1]))[0, 0]
    inside = swapped[5:11, 5:11]  # the rim stays, which holds some of the background
    changed = (swapped - images[0, 0]).abs() > 1e-6
    assert not changed[4].any()
    assert not changed[~masks[0]].any()
    assert torch.allclose(inside.unique(), torch.tensor([0.5, 0.7]), atol=1e-5)
    assert torch.allclose(inside, inside[:1].expand(6, 6))  # upright stripes


def test_an_object_swap_puts_the_donors_object_on_the_recipients_background():
    swapped = swap(SCENERY, "object", ALL, DONORS)
    inside = DRAWN.masks[DONORS][:, None].expand_as(swapped)
    assert torch.equal(swapped[inside], DRAWN.images[DONORS][inside])


def test_an_unknown_channel_is_refused():
    with pytest.raises(UsageError, match="Did you mean color"):
        swap(SCENERY, "colour", ALL, DONORS)
