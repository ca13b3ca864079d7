"""Maps of points: what PCA must give, and that t-SNE keeps neighbors together."""

from __future__ import annotations

import numpy as np
import pytest

from deeptroubles.methods.clustering import flat_map as module
from deeptroubles.methods.clustering.flat_map import flat_map


def test_pca_finds_the_plane_that_points_lie_in():
    random = np.random.default_rng(0)
    plane = random.normal(size=(60, 2)) * [5, 2]
    directions = np.linalg.qr(random.normal(size=(7, 2)))[0]
    found = flat_map(plane @ directions.T + 3)
    assert sum(found.explained) == pytest.approx(1)
    assert found.explained[0] > found.explained[1]
    distances = [np.linalg.norm(p[:, None] - p, axis=2) for p in (plane, found.places)]
    assert distances[1] == pytest.approx(distances[0], abs=1e-8)


@pytest.mark.parametrize("layout", ["pca", "tsne"])
@pytest.mark.parametrize("shape", [(1, 5), (3, 5), (4, 1), (9, 3)])
def test_few_points_and_dimensions_are_no_problem(layout, shape):
    points = np.random.default_rng(0).normal(size=shape)
    for values in (points, np.zeros(shape)):
        found = flat_map(values, layout)
        assert found.places.shape == (shape[0], 2)
        assert np.isfinite(found.places).all()


def test_tsne_keeps_clusters_and_places_a_part_of_many(monkeypatch):
    monkeypatch.setattr(module, "MAX_TSNE", 60)
    random = np.random.default_rng(0)
    cluster = np.arange(90) % 3
    points = random.normal(size=(90, 10)) * 0.1 + 10 * np.eye(10)[cluster]
    found = flat_map(points, "tsne", seed=1)
    placed = np.isfinite(found.places).all(1)
    assert placed.sum() == 60
    assert found.explained is None
    places, kinds = found.places[placed], cluster[placed]
    distance = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(60)
    assert (kinds[distance.argmin(1)] == kinds).all()
    assert np.array_equal(found.places, flat_map(points, "tsne", seed=1).places, equal_nan=True)
