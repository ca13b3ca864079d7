"""DeepDream: the layer is more active, on images of every size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.units.deep_dream import _octaves, _tiles, deep_dream
from deeptroubles.network import open_network
from tests.networks import Plain, Untraceable

SIZE = (20, 24)


@pytest.fixture(scope="module")
def classifier():
    return Classifier(Plain(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


def image(height, width, channels=3):
    coarse = torch.rand(1, channels, 4, 5, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]


def tiled(picture):
    """Tiles of the model's size, from the top left."""
    tiles = picture.unfold(1, SIZE[0], SIZE[0]).unfold(2, SIZE[1], SIZE[1])
    return tiles.permute(1, 2, 0, 3, 4).flatten(0, 1)


@pytest.mark.parametrize("size", [SIZE, (47, 61), (20, 61), (60, 24)])
@pytest.mark.parametrize("units", [None, [2, 5]])
def test_the_layer_is_more_active(classifier, size, units):
    before = image(*size)
    after = deep_dream(classifier, before, "4", units)
    assert after.shape == before.shape
    assert torch.equal(after, (after * 255).round() / 255)

    def objective(picture):
        seen = open_network(classifier).activations(tiled(picture), ["4"])["4"]
        return seen.square().mean((1, 2, 3)) if units is None else seen[:, units].mean((1, 2, 3))

    assert (objective(after) > objective(before)).all()  # in every part of the image
    if units is None:
        assert objective(after).mean() > 1.5 * objective(before).mean()


@pytest.mark.parametrize("size", [(11, 13), (9, 61)])
def test_images_smaller_than_the_model_are_changed_everywhere(classifier, size):
    before = image(*size)
    after = deep_dream(classifier, before, "4")
    assert after.shape == before.shape
    changed = (after - before).abs().mean(0)
    assert all(part.mean() > 0.01 for half in changed.chunk(2) for part in half.chunk(2, dim=1))


def test_without_steps_the_image_comes_back(classifier):
    """Shrinking and enlarging loses details; they are those of the image itself, and are put back."""
    noise = torch.rand(3, 33, 41, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        deep_dream(classifier, noise, "4", learning_rate=0.0), noise, atol=0.5 / 255 + 1e-6, rtol=0
    )


def test_smaller_octaves_add_coarser_patterns(classifier):
    before = image(40, 48)

    def coarse_share(octaves):
        change = deep_dream(classifier, before, "4", octaves=octaves, octave_scale=2.0) - before
        return float(torch.nn.functional.avg_pool2d(change[None], 4).square().mean() / change.square().mean())

    assert coarse_share(3) > 1.5 * coarse_share(1)


def test_one_step_is_normalized_gradient_ascent(classifier):
    """With one octave of the model's size and no room to shift, against plain autograd on the classifier's module."""
    before = image(*SIZE)
    rng = np.random.default_rng(3)
    rows, columns = (_tiles(side, side, rng)[0] for side in SIZE)
    leaf = before.clone().requires_grad_()
    seen = leaf[:, rows][:, :, columns][None]
    stages = nn.Sequential(*list(classifier.eval().module)[:5])
    (gradient,) = torch.autograd.grad(stages((seen - classifier.mean) / classifier.std).square().mean(), leaf)
    expected = before + 0.01 * gradient / gradient.abs().mean()
    found = deep_dream(classifier, before, "4", octaves=1, steps=1, learning_rate=0.01, seed=3)
    assert (found - expected.clamp(0, 1)).abs().max() < 0.51 / 255


@pytest.mark.parametrize(("length", "tile"), [(20, 20), (50, 20), (40, 20), (9, 20), (21, 20)])
def test_tiles_cover_an_axis_and_continue_it_by_its_mirror_image(length, tile):
    rng = np.random.default_rng(0)
    counts = np.zeros(length, dtype=int)
    for _ in range(200):
        tiles = _tiles(length, tile, rng)
        assert all(len(each) == tile for each in tiles)
        whole = np.concatenate(tiles)
        assert len(tiles) == -(-length // tile)
        assert np.abs(np.diff(whole)).max() <= 1  # no seam
        counts[np.unique(whole)] += 1
    assert counts.min() >= 90  # at the very border in half of all cases
    assert (counts == 200).mean() > 0.8


def test_octaves_end_with_the_image_itself():
    assert _octaves((100, 50), 3, 2.0) == [(25, 12), (50, 25), (100, 50)]
    assert _octaves((100, 50), 9, 2.0) == [(25, 12), (50, 25), (100, 50)]
    assert _octaves((6, 6), 3, 2.0) == [(6, 6)]


def test_the_seed_decides_everything_and_nothing_is_left_behind():
    classifier = Classifier(Plain(), size=SIZE).train()
    state, before = torch.get_rng_state(), image(30, 40)
    kept = before.clone()
    with torch.inference_mode():
        found = deep_dream(classifier, before, "4", steps=3)
    assert torch.equal(found, deep_dream(classifier, before, "4", steps=3))
    assert not torch.equal(found, deep_dream(classifier, before, "4", steps=3, seed=1))
    assert torch.equal(before, kept)
    assert all(m.training for m in classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_gray_images_and_models_that_cannot_be_traced():
    gray = Classifier(Plain(1), size=SIZE, channels=1)
    assert deep_dream(gray, image(30, 40, 1), "4", steps=2).shape == (1, 30, 40)
    hooked = Classifier(Untraceable(), size=SIZE)
    with pytest.warns(UserWarning, match="could not be traced"):
        assert deep_dream(hooked, image(30, 40), "inner.4", steps=2).shape == (3, 30, 40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": torch.zeros(1, 20, 24)}, "needs 3 x h x w"),
        ({"image": torch.zeros(2, 3, 20, 24)}, "needs 3 x h x w"),
        ({"image": torch.full((3, 20, 24), 2.0)}, r"in \[0, 1\]"),
        ({"units": [8]}, "units 0 to 7"),
        ({"octaves": 0}, "at least 1"),
        ({"octave_scale": 1.0}, "above 1"),
    ],
)
def test_what_does_not_fit_is_told(classifier, settings, message):
    with pytest.raises(UsageError, match=message):
        deep_dream(classifier, **{"image": image(*SIZE), "layer": "4", **settings})
    with pytest.raises(ModelError, match="no layer"):
        deep_dream(classifier, image(*SIZE), "nowhere")
