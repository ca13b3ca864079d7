"""Clustering of heatmaps, against slow loops, closed forms and scikit-learn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from deeptroubles.methods.clustering.fisher_score import fisher_score
from deeptroubles.methods.clustering.spectral import eigengap, laplacian_spectrum, neighbor_affinity, spectral_clusters
from deeptroubles.methods.clustering.spray import BOX, SIDE, cluster_heatmaps, evidence_at, place_of, small_heatmaps


def heaps(count: int, each: int = 20, seed: int = 0) -> np.ndarray:
    """Points in heaps that are far from each other."""
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(12 * i, 1, (each, 3)) for i in range(count)])


def test_neighbors_equal_a_slow_loop():
    points = np.random.default_rng(0).normal(size=(25, 4))
    found = neighbor_affinity(points, 4)
    for i in range(25):
        distances = [np.linalg.norm(points[i] - points[j]) if i != j else np.inf for j in range(25)]
        for j in np.argsort(distances)[:4]:
            assert found[i, j] == found[j, i] == 1
    assert found.sum() == sum((found[i, j] == 1) for i in range(25) for j in range(25))
    each = kneighbors_graph(points, 4).toarray()
    assert np.array_equal(found, ((each + each.T) > 0).astype(float))


def test_eigenvalues_of_a_complete_graph_and_of_a_ring():
    """Closed forms: 0 and n / (n - 1), and 1 - cos(2 pi k / n)."""
    complete, _ = laplacian_spectrum(np.ones((7, 7)) - np.eye(7), 7)
    assert np.allclose(complete, [0] + [7 / 6] * 6)
    ring = np.roll(np.eye(8), 1, axis=0) + np.roll(np.eye(8), -1, axis=0)
    values, vectors = laplacian_spectrum(ring, 8)
    assert np.allclose(values, np.sort(1 - np.cos(2 * np.pi * np.arange(8) / 8)))
    assert np.allclose(vectors.T @ vectors, np.eye(8))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_as_many_eigenvalues_are_0_as_there_are_heaps_and_the_gap_finds_them(count):
    values, vectors = laplacian_spectrum(neighbor_affinity(heaps(count), 10), 9)
    assert np.allclose(values[:count], 0)
    assert values[count] > 0.01
    assert eigengap(values)[0] == count
    truth = np.repeat(np.arange(count), 20)
    assert adjusted_rand_score(truth, spectral_clusters(vectors, count)) == 1


@given(st.lists(st.floats(0, 2), min_size=2, max_size=12).map(sorted))
def test_the_eigengap_equals_a_slow_loop(values):
    clusters, gap = eigengap(np.array(values))
    assert gap == max(b - a for a, b in pairwise(values))
    assert values[clusters] - values[clusters - 1] == gap


def test_clusters_equal_scikit_learns():
    random = np.random.default_rng(1)
    points = np.concatenate([random.normal(m, 1, (30, 2)) for m in ((0, 0), (4, 0), (2, 3.5))])
    affinity = neighbor_affinity(points, 10)
    ours = spectral_clusters(laplacian_spectrum(affinity, 3)[1], 3)
    theirs = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(affinity)
    assert adjusted_rand_score(ours, theirs) > 0.9
    assert (np.diff(np.bincount(ours)) <= 0).all()  # the largest comes first


def test_the_fisher_score_of_one_dimension_is_a_ratio_of_scatters():
    points, groups = np.array([[0.0], [2.0], [7.0], [9.0], [11.0]]), np.array([0, 0, 1, 1, 1])
    between = 2 * (1 - 5.8) ** 2 + 3 * (9 - 5.8) ** 2
    assert fisher_score(points, groups, ridge=0) == pytest.approx(between / (2 + 8))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_no_direction_separates_better_than_the_fisher_score_says(seed):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 3, 40)
    points = random.normal(size=(40, 4)) + groups[:, None] * random.normal(size=4)
    found = fisher_score(points, groups, ridge=0)

    def ratio(direction):
        shown = points @ direction
        means = np.array([shown[groups == g].mean() for g in range(3)])[groups]
        return ((means - shown.mean()) ** 2).sum() / ((shown - means) ** 2).sum()

    assert all(ratio(direction) <= found * (1 + 1e-9) for direction in random.normal(size=(50, 4)))
    best = LinearDiscriminantAnalysis(solver="eigen").fit(points, groups).scalings_[:, 0]
    assert ratio(best) == pytest.approx(found)


def test_one_group_and_one_point_have_no_fisher_score():
    assert fisher_score(np.random.default_rng(0).normal(size=(9, 2)), np.zeros(9, dtype=int)) == pytest.approx(0)
    assert fisher_score(np.ones((9, 2)), np.arange(9) % 2) == 0


def test_small_heatmaps_are_means_over_areas_that_sum_to_1():
    maps = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))
    maps[2] = 0
    small = small_heatmaps(maps)
    means = maps[0, :2, :3].double().mean() / maps[0].double().reshape(16, 2, 16, 3).mean((1, 3)).abs().sum()
    assert small[0, 0, 0] == pytest.approx(float(means))
    assert np.allclose(np.abs(small).sum((1, 2)), [1, 1, 0])


def test_the_place_equals_a_slow_search():
    maps = np.random.default_rng(0).random((5, SIDE, SIDE))
    places = [(y, x) for y in range(SIDE - BOX + 1) for x in range(SIDE - BOX + 1)]
    evidence = {(y, x): maps[:, y : y + BOX, x : x + BOX].sum((1, 2)) for y, x in places}
    best = max(places, key=lambda place: evidence[place].sum())
    assert place_of(maps, at_edge=False) == best
    assert np.allclose(evidence_at(maps, best), evidence[best])
    edge = [place for place in places if {0, SIDE - BOX} & set(place)]
    assert place_of(maps, at_edge=True) == max(edge, key=lambda place: evidence[place].sum())


def test_heatmaps_of_two_kinds_are_two_clusters():
    random = np.random.default_rng(0)
    maps = 0.02 * random.random((40, SIDE, SIDE))
    maps[:12, 11:, :5] += 1
    maps[12:, 4:12, 4:12] += random.random((28, 8, 8))
    found = cluster_heatmaps(maps / maps.sum((1, 2), keepdims=True))
    assert found.count == 2
    assert found.group.tolist() == [1] * 12 + [0] * 28
    assert min(found.fisher) > 50
    assert place_of(maps[found.group == 1], at_edge=True) == (11, 0)
