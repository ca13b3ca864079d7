"""Concept activation vectors, on networks whose reliance is known, and with concepts that mean nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from deeptroubles import Classifier, open_network
from deeptroubles.errors import ModelError
from deeptroubles.methods.concepts.tcav import (
    Vectors,
    concept_effect,
    concept_layer,
    concept_vectors,
    lead_std,
    random_vectors,
    read_layer,
    unit_scale,
)
from deeptroubles.statistics.holm import holm
from tests.networks import Plain

DIMENSIONS = 12


def activations(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Activations at random, those of a concept shifted in the first unit."""
    points = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    points[:, 0] += shift
    return points


def effect_on(weights: np.ndarray, concept: np.ndarray, others: np.ndarray, seed: int = 0):
    """On a linear network, whose gradient is the same for every image."""
    gradients = np.tile(weights, (40, 1))
    vectors = concept_vectors(concept, others, seed=seed)
    at_random = random_vectors(others, len(concept), seed=seed + 1)
    return concept_effect(vectors, at_random, gradients, float((others @ weights).std()), 0.95)


def test_a_concept_that_a_linear_network_uses_is_found_with_its_sign():
    others, concept = activations(200, 0), activations(60, 1, shift=3.0)
    for sign in (1, -1):
        found = effect_on(sign * np.eye(DIMENSIONS)[0], concept, others)
        assert 2 < sign * found.effect.value < 3.3  # to first order the shift of 3 standard deviations
        assert min(sign * found.effect.low, sign * found.effect.high) > 1.5
        assert found.p < 0.01
        assert found.share == (1 if sign > 0 else 0)
        assert found.accuracy > 0.85


def test_a_concept_that_is_there_but_not_used_is_not_found():
    """Units that are the same except for the concept's own, which nothing reads."""
    others = activations(200, 0)
    tests = [effect_on(np.eye(DIMENSIONS)[5], activations(60, s, shift=3.0), others, seed=s) for s in range(1, 31)]
    assert all(t.accuracy > 0.85 for t in tests)
    assert sum(t.effect.low > 0 or t.effect.high < 0 for t in tests) <= 5  # 0.997 of the binomial of 30 and 0.05
    assert sum(t.effect.low > 0.25 or t.effect.high < -0.25 for t in tests) <= 1  # where the check fails


def test_the_interval_covers_about_as_often_as_it_says():
    """A little less than 95 %, because the images at random are taken as they are: 0.91 was measured."""
    found = [
        effect_on(np.eye(DIMENSIONS)[0], activations(60, s, 2.0), activations(200, 1000 + s), seed=s).effect
        for s in range(1, 81)
    ]
    truth = np.mean([f.value for f in found])
    assert 0.85 < np.mean([f.low <= truth <= f.high for f in found]) <= 1


def test_concepts_that_mean_nothing_are_flagged_no_more_often_than_the_level_says():
    weights = np.random.default_rng(3).normal(size=DIMENSIONS)
    tests = [effect_on(weights, activations(30, 100 + s), activations(150, 500 + s), seed=s) for s in range(60)]
    assert sum(t.p < 0.05 for t in tests) <= 8  # 0.998 of the binomial of 60 and 0.05
    assert sum(t.effect.low > 0 or t.effect.high < 0 for t in tests) <= 8
    assert max(abs(t.effect.value) for t in tests) < 0.3
    assert holm(np.array([t.p for t in tests])).min() > 0.05


def test_effect_share_and_interval_equal_slow_loops():
    random = np.random.default_rng(0)
    directions = random.normal(size=(2, 4, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    vectors = Vectors(directions, random.random((2, 4)), np.full((2, 4), 0.8))
    gradients = random.normal(size=(6, 3))
    found = concept_effect(vectors, vectors, gradients, 2.0, 0.9)
    pairs = [(r, g) for r in range(2) for g in range(4)]
    moves = [[float(x @ directions[at]) * vectors.distance[at] / 2.0 for at in pairs] for x in gradients]
    assert found.effect.value == pytest.approx(np.mean(moves))
    assert found.share == np.mean([[x @ directions[at] > 0 for at in pairs] for x in gradients])
    assert found.p == pytest.approx(1)  # the same vectors as those at random
    left_out = [np.mean([gradients.mean(0) @ directions[r, g] / 2 for r in range(2)]) for g in range(4)]
    jackknife = 3 / 4 * sum((x - np.mean(left_out)) ** 2 for x in left_out) * vectors.distance.mean() ** 2
    distance = np.var(vectors.distance.mean(0), ddof=1) / 4 * np.mean(left_out) ** 2
    draws = np.var([np.mean([m[:4] for m in moves]), np.mean([m[4:] for m in moves])], ddof=1) / 2
    images = np.var(np.mean(moves, axis=1), ddof=1) / 6
    reach = stats.t.ppf(0.95, 3) * np.sqrt(jackknife + distance + draws + images)
    assert found.effect.high - found.effect.value == pytest.approx(reach)
    wider = concept_effect(vectors, vectors, gradients, 2.0, 0.99)
    assert wider.effect.low < found.effect.low < found.effect.value < found.effect.high < wider.effect.high


def test_the_same_seed_draws_the_same_and_another_others():
    concept, others = activations(20, 0, 1.0), activations(50, 1)
    first, again, other = (concept_vectors(concept, others, seed=s, runs=3) for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.direction, other.direction)
    assert np.allclose(np.linalg.norm(first.direction, axis=-1), 1)
    assert not any(np.allclose(a, b) for a, b in pairwise(first.direction))


def test_two_images_are_the_fewest():
    assert concept_vectors(activations(2, 0), activations(4, 1), seed=0, runs=2).direction.shape == (2, 2, DIMENSIONS)
    assert random_vectors(activations(4, 1), 30, seed=0, runs=2).direction.shape == (2, 2, DIMENSIONS)


def test_what_is_read_of_a_layer_is_what_a_step_everywhere_does():
    """The gradients are those of the lead when a unit is slightly more active at all positions."""
    classifier = Classifier(Plain(), size=(20, 24)).eval()
    images, targets = torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1])
    network = open_network(classifier)
    layer = concept_layer(network)
    read = read_layer(classifier, images, targets, layer)
    values = network.activations(images, [layer])[layer].detach()
    assert np.allclose(read.activations, values.mean((2, 3)), atol=1e-6)
    rest = network.rest(layer, images)

    def lead(activated):
        logits = rest(activated).detach().double()
        return logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)

    for unit in range(values.shape[1]):
        step = torch.zeros_like(values)
        step[:, unit] = 0.01
        change = (lead(values + step) - lead(values - step)) / 0.02
        assert np.allclose(read.gradients[:, unit], change, atol=1e-3)


def test_a_unit_that_is_always_the_same_is_not_blown_up():
    assert unit_scale(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist() == [1.0, 1.0]
    assert unit_scale(np.array([[1.0, 5.0], [5.0, 5.0]])).tolist() == [2.0, 1.0]
    assert lead_std(np.array([[1.0, 1.0], [3.0, 1.0]])).tolist() == [0.5, 0.5]


def test_a_network_without_positions_is_refused():
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), size=4, channels=1)
    with pytest.raises(ModelError, match="concepts cannot be"):
        concept_layer(open_network(classifier))
    assert concept_layer(open_network(Classifier(Plain(), size=20))) == "5"


def test_both_forms_of_the_ridge_regression_point_the_same_way():
    """More images than units, and the same with units that say nothing added until there are fewer."""
    concept, others = activations(20, 0, 1.0), activations(30, 1)
    few = concept_vectors(concept, others, seed=0, runs=2)
    many = concept_vectors(*(np.pad(points, ((0, 0), (0, 60))) for points in (concept, others)), seed=0, runs=2)
    assert np.allclose(few.direction, many.direction[..., :DIMENSIONS])
    assert np.allclose(few.distance, many.distance)
