"""The map on planted clusters, and its pictures on a network whose units are colors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ImagesError, ModelError
from deeptroubles.methods.units import activation_atlas as module
from deeptroubles.methods.units.activation_atlas import activation_atlas, atlas_layout, whitened
from deeptroubles.subject import Subject
from tests.networks import Plain

SIZE = (8, 10)
SETTINGS = {"grid": 4, "min_activations": 3, "steps": 24}


def clusters(seed=0, each=40, units=12):
    """Three directions with a little noise, and of any length: only the direction tells them apart."""
    random = np.random.default_rng(seed)
    centers = np.linalg.qr(random.normal(size=(units, 3)))[0].T
    which = np.arange(3 * each) % 3
    points = centers[which] + 0.1 * random.normal(size=(3 * each, units))
    return points * random.uniform(0.5, 20, (3 * each, 1)), which


class Colors(nn.Module):
    """Its first layer is the image, rectified around gray: a unit per color, and one for the absence of each."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.conv.weight.data = torch.cat([torch.eye(3), -torch.eye(3)])[:, :, None, None]
        self.conv.bias.data = torch.tensor([-0.5] * 3 + [0.5] * 3)
        self.relu = nn.ReLU()
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def subject():
    """Red, green and blue images; every tenth has no class."""
    random = np.random.default_rng(0)
    which = np.arange(90) % 3
    pictures = random.integers(0, 60, (90, *SIZE, 3), dtype=np.uint8)
    pictures[np.arange(90), :, :, which] += np.uint8(180)
    targets = np.where(np.arange(90) % 10 == 9, -1, which)
    return Subject(Classifier(Colors(), size=SIZE), ImageSet.from_arrays(pictures), targets)


@pytest.fixture(scope="module")
def atlas(subject):
    return activation_atlas(subject, LocalEngine(), "relu", **SETTINGS)


# --- the layout


@pytest.mark.parametrize("seed", range(3))
def test_planted_clusters_stay_apart(seed):
    points, which = clusters(seed)
    layout = atlas_layout(points, seed=seed)
    assert layout.min() == 0
    assert layout.max() == 1
    distance = np.linalg.norm(layout[:, None] - layout, axis=2)
    np.fill_diagonal(distance, np.inf)
    neighbors = which[np.argsort(distance, axis=1)[:, :10]]
    assert (neighbors == which[:, None]).mean() > 0.99


def test_the_same_seed_gives_the_same_map_and_nothing_global_is_drawn():
    points, _ = clusters()
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (the library could draw from the global generator)
    first, second = (atlas_layout(points, seed=3) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002 (see above)


def test_one_outlier_does_not_take_the_whole_map():
    """It is moved to the margin: the others still fill the map."""
    layout = module.atlas_layout(np.vstack([clusters()[0], -clusters()[0][:1]]))
    assert (layout.std(0) > 0.15).all()


@pytest.mark.parametrize("count", [5, 7])
def test_few_activations_can_be_laid_out(count):
    assert atlas_layout(clusters()[0][:count]).shape == (count, 2)


def test_silent_activations_have_a_place_too():
    points, _ = clusters()
    points[:10] = 0
    assert np.isfinite(atlas_layout(points)).all()


def test_too_few_are_refused():
    with pytest.raises(ImagesError, match="needs 5 activations, and there are 4"):
        atlas_layout(clusters()[0][:4])


# --- whitening


def test_whitened_activations_have_nothing_in_common():
    """With many activations the shrinkage vanishes: their second moment becomes the identity, by a symmetric matrix."""
    random = np.random.default_rng(0)
    activations = random.normal(size=(20000, 3)) @ np.array([[3.0, 1, 0], [0, 1, 0.5], [0, 0, 0.5]]) + [1, 0, 2]
    white = whitened(activations, activations)
    np.testing.assert_allclose(white.T @ white / 20000, np.eye(3), atol=0.03)
    matrix = whitened(np.eye(3), activations)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


def test_silent_units_stay_finite():
    activations = np.random.default_rng(0).normal(size=(200, 5)) * [1, 1, 0, 1, 0]
    assert np.isfinite(whitened(activations[:3], activations)).all()


def test_with_fewer_activations_than_units_it_stays_finite():
    activations = np.random.default_rng(0).normal(size=(10, 50))
    assert np.isfinite(whitened(activations[:2], activations)).all()


# --- the atlas


def test_counts_and_shares_are_those_of_the_positions(atlas, subject):
    assert atlas.counts.sum() == len(atlas.positions) == 90
    for row in range(4):
        for column in range(4):
            x, y = np.minimum(atlas.positions * 4, 3).astype(int).T
            inside = (x == column) & (y == row)
            assert atlas.counts[row, column] == inside.sum()
            known = subject.targets[atlas.images[inside]]
            known = known[known >= 0]
            expected = [(known == k).mean() if len(known) else 0 for k in range(3)]
            np.testing.assert_allclose(atlas.shares[row, column], expected)
    assert {tuple(cell) for cell in atlas.cells} == {tuple(cell) for cell in np.argwhere(atlas.counts >= 3)}


def test_each_region_shows_what_lies_there(atlas):
    """A cell that holds red images only is drawn more red than green or blue."""
    pure = [i for i, (row, column) in enumerate(atlas.cells) if atlas.shares[row, column].max() == 1]
    assert len(pure) >= 3
    for i in pure:
        color = atlas.shares[tuple(atlas.cells[i])].argmax()
        assert atlas.pictures[i].mean((1, 2)).argmax() == color
    assert {int(atlas.shares[tuple(atlas.cells[i])].argmax()) for i in pure} == {0, 1, 2}


def test_without_whitening_the_picture_is_of_the_mean(subject):
    found = activation_atlas(subject, LocalEngine(), "relu", whiten=False, **SETTINGS)
    for (row, column), picture in zip(found.cells, found.pictures, strict=True):
        if found.shares[row, column].max() == 1:
            assert picture.mean((1, 2)).argmax() == found.shares[row, column].argmax()


def test_the_drawn_map_holds_every_picture_in_its_place(atlas):
    whole = atlas.draw()
    assert whole.shape == (3, 4 * SIZE[0] + 3 * 2, 4 * SIZE[1] + 3 * 2)
    kept = torch.ones_like(whole, dtype=torch.bool)
    for (row, column), picture in zip(atlas.cells, atlas.pictures, strict=True):
        here = slice(None), slice(row * 10, row * 10 + 8), slice(column * 12, column * 12 + 10)
        assert torch.equal(whole[here], picture)
        kept[here] = False
    assert (whole[kept] == module.SHADE).all()


def test_the_same_seed_gives_the_same_bytes_whatever_the_pieces(atlas, subject):
    again = activation_atlas(subject, LocalEngine(batch_size=7), "relu", **SETTINGS)
    assert again.positions.tobytes() == atlas.positions.tobytes()
    assert torch.equal(again.pictures, atlas.pictures)
    other = activation_atlas(subject, LocalEngine(), "relu", **SETTINGS, seed=1)
    assert other.positions.tobytes() != atlas.positions.tobytes()


def test_activations_are_those_of_a_position_of_the_image(subject):
    found = module._activations(subject, [4, 2], 1, "relu", 3, 0)["activations"]
    for row, values in zip([4, 2], found, strict=True):
        with torch.no_grad():
            every = (
                subject.classifier.module.relu(subject.classifier.module.conv(subject.pixels([row])))[0].flatten(1).T
            )
        near = (torch.from_numpy(values)[:, None] - every).abs().amax(2)
        assert (near.amin(1) < 1e-6).all()
        assert len(set(near.argmin(1).tolist())) == 3


def test_several_positions_and_a_layer_without_any(subject):
    found = activation_atlas(subject, LocalEngine(), "relu", **SETTINGS | {"steps": 1}, positions=2)
    assert found.images.tolist() == [i for i in range(90) for _ in range(2)]
    found = activation_atlas(subject, LocalEngine(), "logits", **SETTINGS | {"steps": 1}, positions=2)
    assert len(found.images) == 90


def test_other_channels_and_what_it_touches_is_restored():
    random = np.random.default_rng(0)
    classifier = Classifier(Plain(1), size=SIZE, channels=1).train()
    images = ImageSet.from_arrays(random.integers(0, 256, (30, *SIZE), dtype=np.uint8))
    found = activation_atlas(
        Subject(classifier, images, np.full(30, -1)), LocalEngine(), "5", grid=2, min_activations=2, steps=2
    )
    assert found.pictures.shape[1:] == (1, *SIZE)
    assert found.shares.sum() == 0
    assert all(m.training for m in classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())


def test_a_region_of_silence_is_not_drawn(subject):
    """Black images, in a layer that says nothing of black."""
    dark = np.zeros((60, *SIZE, 3), np.uint8)
    dark[::2, :, :, 0] = np.linspace(150, 255, 30).astype(np.uint8)[:, None, None]
    network = Colors()
    network.conv.weight.data[3:] = 0
    network.conv.bias.data[3:] = -1
    given = Subject(Classifier(network, size=SIZE), ImageSet.from_arrays(dark), np.arange(60) % 2)
    found = activation_atlas(given, LocalEngine(), "relu", **SETTINGS)
    assert len(found.cells) > 0
    assert all(found.shares[tuple(cell)][0] > 0 for cell in found.cells)
    assert len(found.cells) < (found.counts >= 3).sum()


def test_what_cannot_be_drawn_is_told(subject):
    with pytest.raises(ImagesError, match="No cell of the map has 80 activations"):
        activation_atlas(subject, LocalEngine(), "relu", min_activations=80)
    with pytest.raises(ModelError, match="no layer 'rely'"):
        activation_atlas(subject, LocalEngine(), "rely")
