from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptroubles.methods.transforms.inpaint import inpaint
from deeptroubles.methods.transforms.shared.masks import bounding_boxes, dilate, elsewhere, remove

sizes = st.tuples(st.integers(1, 13), st.integers(1, 13))


def draw(size, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, *size, generator=random), torch.rand(2, *size, generator=random) < 0.4


@given(size=sizes, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_outside_of_the_holes_nothing_changes_and_inside_stays_in_range(size, seed):
    images, holes = draw(size, seed)
    filled = inpaint(images, holes)
    assert torch.equal(torch.where(holes[:, None], images, filled), images)
    for image, hole, result in zip(images, holes, filled, strict=True):
        if not hole.all():
            seen = image[:, ~hole]
            low, high = seen.amin(1)[:, None, None], seen.amax(1)[:, None, None]
            assert ((result >= low - 1e-5) & (result <= high + 1e-5)).all()


@given(size=sizes, seed=st.integers(0, 99), value=st.floats(0, 1, width=32))
@settings(deadline=None, max_examples=40)
def test_a_constant_image_stays_constant(size, seed, value):
    _, holes = draw(size, seed)
    holes[:, 0, 0] = False
    images = torch.full((2, 3, *size), value)
    assert torch.allclose(inpaint(images, holes), images, atol=1e-6)


def test_what_is_in_the_hole_does_not_matter():
    images, holes = draw((16, 16), 0)
    other = torch.where(holes[:, None], torch.rand(images.shape, generator=torch.Generator().manual_seed(9)), images)
    assert torch.equal(inpaint(images, holes), inpaint(other, holes))


def test_an_image_that_is_all_hole_becomes_black():
    assert not inpaint(torch.ones(1, 3, 7, 5), torch.ones(1, 7, 5, dtype=torch.bool)).any()


def test_a_missing_pixel_becomes_the_mean_of_its_block_blended_with_its_neighbors():
    """4 x 4, one hole: half the size knows all four blocks; bilinear weights are 9, 3, 3 and 1 sixteenths."""
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, :2, :2] = torch.tensor([[0.9, 0.6], [0.3, 0.0]])
    image[0, 0, :2, 2:], image[0, 0, 2:, :2], image[0, 0, 2:, 2:] = 0.2, 0.4, 0.8
    holes = torch.zeros(1, 4, 4, dtype=torch.bool)
    holes[0, 1, 1] = True
    expected = (9 * (0.9 + 0.6 + 0.3) / 3 + 3 * 0.2 + 3 * 0.4 + 0.8) / 16
    assert torch.isclose(inpaint(image, holes)[0, 0, 1, 1], torch.tensor(expected))


def test_boxes_and_margins():
    masks = torch.zeros(3, 9, 9, dtype=torch.bool)
    masks[0, 2, 5] = masks[0, 4, 3] = masks[1, 0, 0] = True
    boxes = bounding_boxes(masks)
    expected = torch.zeros_like(masks)
    expected[0, 2:5, 3:6] = expected[1, 0, 0] = True
    assert torch.equal(boxes, expected)
    wide = torch.zeros_like(masks)
    wide[0, :7, 1:8] = wide[1, :3, :3] = True
    assert torch.equal(dilate(boxes, 2), wide)


def test_removal_leaves_no_trace_of_the_object_and_the_rest_alone():
    images, _ = draw((32, 32), 1)
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 10:20, 12:18] = True
    other = torch.where(masks[:, None], 1 - images, images)
    assert torch.equal(remove(images, masks), remove(other, masks))
    box = dilate(bounding_boxes(masks), 1)
    assert torch.equal(torch.where(box[:, None], images, remove(images, masks)), images)
    assert torch.equal(remove(images, masks)[1], images[1])


@pytest.mark.parametrize("box", [(slice(0, 3), slice(0, 5)), (slice(4, 7), slice(4, 8))])
def test_a_hole_elsewhere_is_as_large_and_does_not_overlap(box):
    holes = torch.zeros(1, 12, 12, dtype=torch.bool)
    holes[0][box] = True
    other = elsewhere(holes)
    assert other.sum() == holes.sum()
    assert not (other & holes).any()
