from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptroubles.errors import UsageError
from deeptroubles.transforms import shift

HEIGHT, WIDTH = 7, 9
IMAGE = torch.arange(2 * HEIGHT * WIDTH, dtype=torch.float32).view(2, HEIGHT, WIDTH) + 1
PADDING = {"black": "constant", "mirror": "reflect", "circular": "wrap"}

downs = st.integers(1 - HEIGHT, HEIGHT - 1)
rights = st.integers(1 - WIDTH, WIDTH - 1)
borders = st.sampled_from(sorted(PADDING))


@given(down=downs, right=rights)
def test_circular_shifts_can_be_taken_back(down, right):
    there = shift(IMAGE, down, right, "circular")
    assert torch.equal(shift(there, -down, -right, "circular"), IMAGE)
    assert sorted(there.flatten().tolist()) == sorted(IMAGE.flatten().tolist())


@given(down=downs, right=rights, more_down=downs, more_right=rights)
def test_circular_shifts_add_up(down, right, more_down, more_right):
    twice = shift(shift(IMAGE, down, right, "circular"), more_down, more_right, "circular")
    at_once = [int(np.fmod(a + b, n)) for a, b, n in ((down, more_down, HEIGHT), (right, more_right, WIDTH))]
    assert torch.equal(twice, shift(IMAGE, *at_once, "circular"))


@given(down=downs, right=rights, border=borders)
@settings(deadline=None)
def test_every_border_is_the_padding_of_that_name(down, right, border):
    wide = ((0, 0), (HEIGHT - 1, HEIGHT - 1), (WIDTH - 1, WIDTH - 1))
    padded = np.pad(IMAGE.numpy(), wide, mode=PADDING[border])
    top, left = HEIGHT - 1 - down, WIDTH - 1 - right
    expected = padded[:, top : top + HEIGHT, left : left + WIDTH]
    assert np.array_equal(shift(IMAGE, down, right, border).numpy(), expected)


@given(down=downs, right=rights)
@settings(deadline=None, max_examples=30)
def test_black_equals_a_slow_loop(down, right):
    expected = torch.zeros_like(IMAGE)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if 0 <= y - down < HEIGHT and 0 <= x - right < WIDTH:
                expected[:, y, x] = IMAGE[:, y - down, x - right]
    assert torch.equal(shift(IMAGE, down, right, "black"), expected)


@given(down=downs, right=rights)
@settings(deadline=None, max_examples=30)
def test_mirror_equals_a_slow_loop(down, right):
    def inside(index, length):
        while not 0 <= index < length:
            index = -index if index < 0 else 2 * (length - 1) - index
        return index

    expected = torch.empty_like(IMAGE)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            expected[:, y, x] = IMAGE[:, inside(y - down, HEIGHT), inside(x - right, WIDTH)]
    assert torch.equal(shift(IMAGE, down, right), expected)  # mirror is the default


@given(down=downs, right=rights, border=borders)
def test_what_stays_inside_is_the_same_for_every_border(down, right, border):
    moved = shift(IMAGE, down, right, border)
    rows = slice(max(down, 0), HEIGHT + min(down, 0))
    columns = slice(max(right, 0), WIDTH + min(right, 0))
    back = slice(max(-down, 0), HEIGHT + min(-down, 0)), slice(max(-right, 0), WIDTH + min(-right, 0))
    assert torch.equal(moved[:, rows, columns], IMAGE[:, back[0], back[1]])


@pytest.mark.parametrize("border", PADDING)
def test_no_shift_changes_nothing_and_positive_is_down_and_right(border):
    assert torch.equal(shift(IMAGE, 0, 0, border), IMAGE)
    dot = torch.zeros(5, 5)
    dot[2, 2] = 1
    assert shift(dot, 1, -2, border)[3, 0] == 1


@pytest.mark.parametrize("border", PADDING)
@pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6), (2, 3, 5, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_any_shape_and_type_is_kept_and_the_argument_untouched(shape, dtype, border):
    images = (torch.rand(shape) * 200 + 1).to(dtype)
    before = images.clone()
    moved = shift(images, 2, -3, border)
    assert moved.shape == images.shape
    assert moved.dtype == dtype
    moved += 1
    assert torch.equal(images, before)


@pytest.mark.parametrize(("down", "right"), [(HEIGHT, 0), (-HEIGHT, 0), (0, WIDTH), (0, -WIDTH), (100, 100)])
def test_a_shift_that_leaves_nothing_is_refused(down, right):
    with pytest.raises(UsageError, match=r"is too large for images of 9 x 7"):
        shift(IMAGE, down, right)


def test_an_unknown_border_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="no border 'gray'; choose one of black, mirror, circular"):
        shift(IMAGE, 1, 1, "gray")
