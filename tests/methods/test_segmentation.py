from __future__ import annotations

import heapq

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptroubles.methods.segmentation.barrier_distance import barrier_distance
from deeptroubles.methods.segmentation.border_contrast import border_contrast
from deeptroubles.methods.segmentation.find_objects import find_objects
from deeptroubles.planted.planting import draw


def scans(image: np.ndarray) -> np.ndarray:
    """Algorithm 1 of the paper for one gray image, pixel by pixel."""
    height, width = image.shape
    distance = np.full((height, width), np.inf)
    high, low = image.astype(float).copy(), image.astype(float).copy()
    for y in range(height):
        for x in range(width):
            if y in (0, height - 1) or x in (0, width - 1):
                distance[y, x] = 0
    for step in (1, -1, 1):
        for y in range(1, height - 1)[::step]:
            for x in range(1, width - 1)[::step]:
                for by, bx in ((y - step, x), (y, x - step)):
                    top, bottom = max(high[by, bx], image[y, x]), min(low[by, bx], image[y, x])
                    if top - bottom < distance[y, x]:
                        distance[y, x], high[y, x], low[y, x] = top - bottom, top, bottom
    return distance


def exact(image: np.ndarray) -> np.ndarray:
    """The true minimum barrier distance: the least highest value on a way, for every lowest value (Dijkstra)."""
    height, width = image.shape
    best = np.full((height, width), np.inf)
    for floor in np.unique(image):
        reached = np.full((height, width), np.inf)
        queue = [
            (image[y, x], y, x)
            for y in range(height)
            for x in range(width)
            if (y in (0, height - 1) or x in (0, width - 1)) and image[y, x] >= floor
        ]
        heapq.heapify(queue)
        while queue:
            top, y, x = heapq.heappop(queue)
            if top >= reached[y, x]:
                continue
            reached[y, x] = top
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= ny < height and 0 <= nx < width and image[ny, nx] >= floor:
                    heapq.heappush(queue, (max(top, image[ny, nx]), ny, nx))
        best = np.minimum(best, reached - floor)
    return best


@given(st.integers(0, 9999), st.integers(3, 8), st.integers(3, 8))
@settings(deadline=None, max_examples=25)
def test_barrier_distance_equals_the_papers_algorithm_and_is_never_below_the_exact_one(seed, height, width):
    images = np.random.default_rng(seed).random((2, 2, height, width), dtype=np.float32)
    found = barrier_distance(images)
    assert np.allclose(found, [sum(scans(channel) for channel in image) for image in images], atol=1e-6)
    assert (found >= np.array([sum(exact(channel) for channel in image) for image in images]) - 1e-6).all()


def test_barrier_distance_is_exact_where_one_thing_stands_out():
    image = np.full((9, 11), 0.25, dtype=np.float32)
    image[3:6, 4:8] = 0.75
    image[4, 5] = 0.5  # on the way to it lies 0.75
    found = barrier_distance(np.stack([image, 1 - image])[None])[0]
    expected = np.where(image > 0.25, 2 * 0.5, 0)
    assert np.allclose(found, expected)
    assert np.allclose(exact(image), expected / 2)


def test_a_slope_that_reaches_the_border_is_near():
    slope = np.tile(np.linspace(0, 1, 12, dtype=np.float32), (10, 1))
    assert barrier_distance(slope[None, None]).max() < 1e-6


def test_border_contrast_is_zero_on_one_color_and_mahalanobis_distance_elsewhere():
    image = np.full((1, 3, 20, 20), 0.5, dtype=np.float32)
    image[0, :, 8:12, 8:12] = np.array([0.8, 0.5, 0.1], dtype=np.float32)[:, None, None]
    found = border_contrast(image)[0]
    assert np.isclose(found[0, 0], 0, atol=1e-4)
    assert np.allclose(found[8:12, 8:12], np.sqrt((0.3**2 + 0.4**2) / 1e-3), rtol=1e-3)  # no spread but the floor


def test_border_contrast_takes_the_nearest_side():
    """A scene of two halves: either color is background."""
    image = np.full((1, 1, 20, 20), 0.2, dtype=np.float32)
    image[..., 10:] = 0.4
    image[0, 0, 9:11, 4:6] = 1
    found = border_contrast(image)[0]
    assert found[5, 5] < 0.01 * found[9, 4]
    assert found[5, 15] < 0.01 * found[9, 4]


def test_objects_of_drawn_scenes_are_found_and_trust_tells_where():
    drawn = draw(80, None, 0, 42)
    found = find_objects(drawn.images)
    overlap = (found.masks & drawn.masks).sum((1, 2)) / (found.masks | drawn.masks).sum((1, 2))
    trusted = overlap[found.found]
    assert found.found.float().mean() > 0.4
    assert trusted.median() > 0.7
    assert (trusted > 0.5).float().mean() > 0.8
    assert trusted.mean() > overlap[~found.found].mean() + 0.2


@pytest.mark.parametrize("size", [(64, 64), (96, 70), (200, 300)])
def test_one_thing_on_a_plain_ground_is_found_at_any_size(size):
    images = torch.full((2, 3, *size), 0.2)
    masks = torch.zeros(2, *size, dtype=torch.bool)
    masks[0, size[0] // 4 : size[0] // 2, size[1] // 3 : 2 * size[1] // 3] = True
    masks[1, size[0] // 2 : 3 * size[0] // 4, size[1] // 4 : size[1] // 2] = True
    images[masks[:, None].expand_as(images)] = 0.9
    found = find_objects(images)
    overlap = (found.masks & masks).sum((1, 2)) / (found.masks | masks).sum((1, 2))
    assert found.masks.shape == masks.shape
    assert (overlap > 0.75).all()
    assert found.found.all()


def test_a_frame_is_no_object_and_an_empty_image_has_none():
    images = torch.full((1, 3, 40, 40), 0.4)
    assert not find_objects(images).masks.any()
    images[:, :, :2] = images[:, :, -2:] = images[..., :2] = images[..., -2:] = 1.0
    assert not find_objects(images).masks.any()
    assert not find_objects(images).found.any()


def test_no_images_have_no_objects():
    found = find_objects(torch.zeros(0, 3, 32, 32))
    assert found.masks.shape == (0, 32, 32)
    assert found.overlap.shape == (0,)
