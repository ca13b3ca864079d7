from __future__ import annotations

import pytest
import torch

from deeptroubles.methods.transforms.shared.backgrounds import (
    black_box,
    no_foreground,
    on_background,
    only_foreground,
    tiled_background,
)

IMAGES = torch.arange(1, 1 + 3 * 10 * 12, dtype=torch.float32).view(1, 3, 10, 12) / 400
MASKS = torch.zeros(1, 10, 12, dtype=torch.bool)
MASKS[0, 3, 4] = MASKS[0, 6, 8] = True


def test_foreground_and_background_are_the_image():
    assert torch.equal(only_foreground(IMAGES, MASKS) + no_foreground(IMAGES, MASKS), IMAGES)
    assert only_foreground(IMAGES, MASKS).count_nonzero() == 2 * 3
    assert torch.equal(on_background(IMAGES, MASKS, IMAGES), IMAGES)
    assert torch.equal(on_background(IMAGES, MASKS, IMAGES * 0), only_foreground(IMAGES, MASKS))


def test_the_box_goes_and_nothing_else():
    hidden = black_box(IMAGES, MASKS)
    assert not hidden[:, :, 3:7, 4:9].any()
    assert hidden.count_nonzero() == 3 * (120 - 20)


@pytest.mark.parametrize(
    ("box", "strip"),
    [((3, 7, 4, 9), "left"), ((6, 9, 2, 11), "above"), ((0, 4, 1, 11), "below"), ((1, 10, 0, 5), "right")],
)
def test_tiles_are_the_largest_strip_repeated(box, strip):
    """Slowly, pixel by pixel."""
    top, bottom, left, right = box
    masks = torch.zeros(1, 10, 12, dtype=torch.bool)
    masks[0, top:bottom, left:right] = True
    strips = {
        "above": IMAGES[0, :, :top],
        "below": IMAGES[0, :, bottom:],
        "left": IMAGES[0, :, :, :left],
        "right": IMAGES[0, :, :, right:],
    }
    assert max(strips, key=lambda name: strips[name].numel()) == strip
    expected, tile = IMAGES.clone(), strips[strip]
    for y in range(top, bottom):
        for x in range(left, right):
            expected[0, :, y, x] = tile[:, (y - top) % tile.shape[1], (x - left) % tile.shape[2]]
    assert torch.equal(tiled_background(IMAGES, masks), expected)


def test_where_the_box_is_all_there_is_no_background():
    assert not tiled_background(IMAGES, torch.ones(1, 10, 12, dtype=torch.bool)).any()
