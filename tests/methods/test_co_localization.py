from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles.methods.segmentation.co_localization import embedded_features, object_masks, object_scores
from deeptroubles.methods.segmentation.guided_filter import guided_filter


def slow_guided_filter(target, guide, radius, epsilon):
    """Algorithm 1 of the paper for a gray guide, window by window; H x W."""
    height, width = target.shape

    def windows(y, x):
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    slope, offset, smooth = (np.zeros((height, width)) for _ in range(3))
    for y in range(height):
        for x in range(width):
            g, t = guide[windows(y, x)], target[windows(y, x)]
            slope[y, x] = ((g * t).mean() - g.mean() * t.mean()) / (g.var() + epsilon)
            offset[y, x] = t.mean() - slope[y, x] * g.mean()
    for y in range(height):
        for x in range(width):
            smooth[y, x] = slope[windows(y, x)].mean() * guide[y, x] + offset[windows(y, x)].mean()
    return smooth


def test_the_guided_filter_is_that_of_the_paper():
    random = np.random.default_rng(0)
    target, guide = random.random((2, 9, 7))
    found = guided_filter(torch.from_numpy(target)[None], torch.from_numpy(guide)[None, None], 2, 0.05)[0]
    np.testing.assert_allclose(found, slow_guided_filter(target, guide, 2, 0.05), atol=1e-12)


def test_a_map_that_is_linear_in_the_colors_stays_as_it_is():
    image = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    linear = (image * torch.tensor([1.0, -2.0, 0.5])[:, None, None]).sum(1) + 0.3
    assert torch.allclose(guided_filter(linear, image, 3, 1e-12), linear, atol=1e-8)
    assert not torch.allclose(guided_filter(linear, image, 3, 1.0), linear, atol=0.1)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_component_is_what_varies_most_and_is_positive_in_the_middle(sign):
    random = np.random.default_rng(0)
    planted = np.full((6, 7, 7), -1.0)
    for image in planted:
        y, x = random.integers(1, 4, 2)
        image[y : y + 3, x : x + 3] = 1
    direction = np.eye(5)[2] * sign
    features = 4 * planted[:, None] * direction[:, None, None] + 0.1 * random.normal(size=(6, 5, 7, 7)) + 9
    scores = object_scores(features)
    assert np.array_equal(scores > 0, planted > 0)
    assert scores.std() == pytest.approx(1)


def test_a_mask_follows_the_edges_and_fills_neither_nothing_nor_all():
    images = torch.full((3, 3, 56, 56), 0.2)
    images[:, :, 20:36, 18:40] = 0.9
    scores = torch.full((3, 7, 7), -1.0)
    scores[0, 2:5, 2:5] = 1  # the cells from 16 to 40
    scores[1] = 1
    masks, found = object_masks(scores, images)
    assert found.tolist() == [True, False, False]
    truth = images[0, 0] > 0.5
    blocks = torch.zeros(56, 56, dtype=torch.bool)
    blocks[16:40, 16:40] = True
    refined, plain = ((mask & truth).sum() / (mask | truth).sum() for mask in (masks[0], blocks))
    assert refined > plain + 0.05


def test_features_of_the_embedded_network():
    gray = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    features = embedded_features(gray, batch_size=2)
    assert features.shape == (3, 192, 7, 7)
    assert torch.allclose(features, embedded_features(gray.expand(-1, 3, -1, -1)), atol=1e-4)
