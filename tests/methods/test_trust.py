from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from deeptroubles import Classifier, ImageSet
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.shared.agreement import agreement
from deeptroubles.methods.units.shared.path_similarity import MIN_GAP, path_similarity
from deeptroubles.methods.units.shared.similarity import cosine, spearman
from deeptroubles.methods.units.shared.simulation import simulate, simulation
from deeptroubles.methods.units.visualization_trust import (
    MAX_ENTRIES,
    PIXELS_SCALED,
    activation_ratio,
    features,
    natural_images,
    path_layers,
    visualization_trust,
)
from deeptroubles.network import LOGITS, PIXELS, open_network
from deeptroubles.statistics.intervals import mean
from deeptroubles.subject import Subject, logits_of
from tests.fooling_circuit import TRAINED, clean_digits, digits, fooling_digits, gratings
from tests.networks import Plain


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# Similarity


def test_spearman_is_scipys_with_ties():
    first, second = np.maximum(random(3, 30), 0), random(4, 30, seed=1).round()
    expected = [[spearmanr(a, b).statistic for b in second] for a in first]
    assert np.allclose(spearman(first, second), expected, atol=1e-12)


def test_likeness_to_something_constant_is_0():
    assert np.all(spearman(np.ones((1, 5)), random(2, 5)) == 0)
    assert np.all(cosine(np.zeros((1, 5)), random(2, 5)) == 0)


# Forward simulation


def slow_simulation(explanation, strong, weak, opposite):
    """The formula of the machine interpretability score, pair by pair: right where its sigmoid is above one half."""

    def similarity(query, to):
        return np.mean([query @ e / np.linalg.norm(query) / np.linalg.norm(e) for e in to])

    shares = []
    for s in strong:
        right = 0.0
        for w in weak:
            margin = (similarity(s, explanation) - similarity(s, opposite)) - (
                similarity(w, explanation) - similarity(w, opposite)
            )
            sigmoid = 1 / (1 + np.exp(-0.16 * margin))
            right += 1.0 if sigmoid > 0.5 else 0.0
        shares.append(right / len(weak))
    return np.array(shares)


def test_simulation_is_the_published_formula():
    explanation, strong, weak, opposite = (random(n, 7, seed=i) for i, n in enumerate((2, 5, 4, 3)))
    found = simulate(explanation, strong, weak, opposite)
    assert np.array_equal(found, slow_simulation(explanation, strong, weak, opposite))
    assert 0 < found.mean() < 1


def test_an_explanation_that_says_nothing_is_right_half_the_time():
    assert np.all(simulate(np.zeros((1, 4)), random(3, 4), random(5, 4)) == 0.5)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_strong_and_weak_change_places(seed):
    explanation, strong, weak = (random(n, 6, seed=seed + i) for i, n in enumerate((2, 4, 4)))
    forward, backward = simulate(explanation, strong, weak), simulate(explanation, weak, strong)
    assert np.isclose(forward.mean() + backward.mean(), 1)
    assert np.isclose(simulate(-explanation, strong, weak).mean(), backward.mean())


def units_apart(units=4, each=5, size=12, noise=0.1):
    """Features in which the images of unit u point along axis u, and weak images nowhere."""
    axes = np.eye(units, size)[:, None]
    groups = [axes + noise * random(units, each, size, seed=i) for i in range(2)]
    return axes, *groups, noise * random(units, each, size, seed=2)


def test_true_pictures_reach_the_ceiling():
    axes, references, strong, weak = units_apart()
    true = simulation(np.repeat(axes, 2, axis=1), references, strong, weak)
    assert np.all(true.accuracy == 1)
    assert np.all(true.natural == 1)
    assert all(i.low < 1 == i.value for i in true.intervals)


def test_the_floor_is_what_pictures_of_other_units_reach():
    _, references, strong, weak = units_apart()
    true = simulation(references[:, :2], references, strong, weak)
    rolled = [simulation(np.roll(references, n, axis=0)[:, :2], references, strong, weak) for n in (1, 2, 3)]
    assert np.allclose(true.random, np.mean([r.pictures for r in rolled], axis=0))
    assert true.random.mean() < 0.5 < true.pictures.mean()


# Path similarity


def paths(pictures, natural):
    images = np.arange(natural.shape[0] * natural.shape[1]).reshape(natural.shape[:2])
    return path_similarity({"layer": pictures}, {"layer": natural}, images)


def test_path_similarity_is_what_a_plain_loop_gives():
    pictures, natural = random(3, 2, 20), random(3, 4, 20, seed=1) + 2 * random(3, 1, 20, seed=2)
    centered = natural - natural.mean((0, 1))
    shown = pictures - natural.mean((0, 1))
    found = paths(pictures, natural)

    def correlate(pairs):
        return np.mean([spearmanr(a, b).statistic for a, b in pairs])

    for u in range(3):
        own = centered[u]
        others = [x for v in range(3) if v != u for x in centered[v]]
        assert np.isclose(found.pictures[u, 0], correlate((p, x) for p in shown[u] for x in own))
        assert np.isclose(found.natural[u, 0], correlate((a, b) for i, a in enumerate(own) for b in own[:i]))
        assert np.isclose(found.random[u, 0], correlate((a, b) for a in own for b in others))


def test_natural_images_are_1_and_any_images_0():
    centers = 3 * random(6, 1, 200)
    many = centers + random(6, 40, 200, seed=1)
    natural, held_out = many[:, :20], many[:, 20:]
    assert np.allclose(paths(held_out, natural).normalized, 1, atol=0.05)
    anything = np.stack([np.delete(held_out, u, axis=0).reshape(-1, 200) for u in range(6)])
    assert np.allclose(paths(anything, natural).normalized, 0, atol=0.05)


def test_what_all_images_have_in_common_says_nothing():
    background = 100 * random(1, 1, 50, seed=9)
    pictures, natural = random(3, 2, 50), random(3, 4, 50, seed=1) + 2 * random(3, 1, 50, seed=2)
    plain, shifted = paths(pictures, natural), paths(pictures + background, natural + background)
    assert np.allclose(plain.normalized, shifted.normalized)


def test_an_image_of_two_units_is_not_compared_with_itself():
    natural = random(2, 3, 30)
    natural[1, 0] = natural[0, 0]
    centered = (natural - natural.mean((0, 1))).reshape(6, 30)
    among = spearman(centered, centered)
    found = path_similarity({"layer": natural}, {"layer": natural}, np.array([[0, 1, 2], [0, 3, 4]]))
    between = [among[i, j] for i in range(3) for j in range(3, 6) if (i, j) != (0, 3)]
    assert np.isclose(found.random[0, 0], np.mean(between))


def test_where_natural_images_are_not_alike_nothing_is_said():
    found = paths(random(3, 2, 400), random(3, 4, 400, seed=1))
    assert np.all(np.abs(found.natural - found.random) < MIN_GAP)
    assert np.isnan(found.normalized).all()
    assert np.isnan(found.late).all()


def test_late_is_the_last_third():
    natural = np.ones((1, 4))
    found = paths(random(1, 2, 9), random(1, 2, 9, seed=1))
    for count, last in ((1, 1), (3, 1), (4, 2), (8, 3)):
        rising = np.arange(float(count))[None]
        one = replace(
            found, layers=("x",) * count, pictures=rising, natural=natural[:, :1] + 0 * rising, random=0 * rising
        )
        assert one.late == [rising[0, -last:].mean()]
        assert one.mean == [rising.mean()]


# The other numbers


def test_activation_ratio():
    ratio = activation_ratio(np.array([[4.0, 6.0], [1.0, 3.0]]), np.array([[1.0, -1.0], [2.0, -2.0]]))
    assert ratio[0] == 2.5
    assert np.isnan(ratio[1])


def test_agreement_of_equal_and_of_unrelated_pictures():
    equal = agreement(np.repeat(np.eye(3)[:, None], 2, axis=1))
    assert np.allclose(equal.same, 1)
    assert np.allclose(equal.other, 0)
    assert np.allclose(equal.relative, 1)
    unrelated = agreement(random(4, 3, 5000))
    assert np.all(np.abs(unrelated.relative) < 0.05)
    assert np.isnan(agreement(random(3, 1, 5)).same).all()


def test_student_interval_covers_as_often_as_it_says():
    draws = random(2000, 5) + 3
    covered = np.mean([i.low <= 3 <= i.high for i in map(mean, draws)])
    assert 0.93 < covered < 0.97
    assert mean(np.array([1.0])).high == np.inf


# Which images and layers


@given(st.integers(6, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_no_image_is_asked_about_and_explains(count, seed):
    activations = random(count, 3, seed=seed)
    chosen = natural_images(activations)
    for u in range(3):
        groups = [set(g[u].tolist()) for g in (chosen.references, chosen.strong, chosen.weak)]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 3 * min(5, count // 3)
        assert activations[list(groups[2]), u].max() < activations[list(groups[0] | groups[1]), u].min()


def test_too_few_images():
    with pytest.raises(UsageError, match="6 or more"):
        natural_images(np.zeros((5, 2)))


def test_the_way_to_a_layer():
    network = open_network(Classifier(Plain(), size=(20, 24)))
    assert path_layers(network, LOGITS) == ["2", "5"]
    assert path_layers(network, "5") == ["2"]
    assert path_layers(network, "0") == [PIXELS]
    with pytest.raises(ModelError):
        path_layers(network, "nowhere")


def test_the_answer_is_no_part_of_the_way_to_it():
    layers = path_layers(open_network(fooling_digits()), LOGITS)
    assert layers == ["natural.2", "natural.6", "natural.10"]


def test_features_are_the_same_entries_for_all_and_scaled_pixels_know_no_contrast():
    network = open_network(Classifier(Plain(), size=(40, 48)))
    pixels = torch.rand(3, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    together, alone = features(network, pixels, ["2", "5"]), features(network, pixels[1:2], ["2", "5"])
    assert together["2"].shape == (3, MAX_ENTRIES)
    assert together["5"].shape == (3, 8 * 10 * 12)
    for name, values in together.items():
        assert np.allclose(values[1], alone[name][0], atol=1e-5)
    faint = features(network, 0.3 + 0.2 * pixels, ["2"])
    assert np.allclose(faint[PIXELS_SCALED], together[PIXELS_SCALED], atol=1e-4)
    assert np.abs(cosine(together[PIXELS_SCALED], together[PIXELS_SCALED]) - np.eye(3)).max() < 0.4


# All together


@pytest.mark.parametrize(("channels", "size"), [(1, (20, 24)), (3, (20, 24)), (5, (24, 20))])
def test_units_of_an_inner_layer(channels, size):
    classifier = Classifier(Plain(channels), size=size, channels=channels)
    pixels = torch.rand(12, channels, *size, generator=torch.Generator().manual_seed(1))

    class Tensors(Subject):
        def pixels(self, indices):
            return pixels[list(indices)]

    blank = ImageSet.from_arrays(np.zeros((12, 4, 4), dtype=np.uint8))
    subject = Tensors(classifier, blank, np.full(12, -1))
    natural = open_network(classifier).record(pixels, ["5"]).activations["5"].amax((2, 3)).numpy()
    units = [0, 3, 3]
    pictures, values = random(3, 2, channels, *size).clip(0, 1).astype(np.float32), np.ones((3, 2))
    trust = [
        visualization_trust(subject, LocalEngine(), "5", pictures, values, natural[:, units], seed=4) for _ in range(2)
    ]
    assert trust[0].path.layers == ("2",)
    assert trust[0].simulation["pixels"].pictures.shape == (3, 4)
    assert np.array_equal(trust[0].path.pictures, trust[1].path.pictures)
    assert np.array_equal(trust[0].simulation["network"].pictures, trust[1].simulation["network"].pictures)


# The fooling circuit


def held_out():
    images, classes = digits()
    return torch.from_numpy(images[TRAINED:, None]).float() / 255, torch.from_numpy(classes[TRAINED:])


@pytest.mark.parametrize("decoy", ["gratings", "next class"])
def test_the_circuit_predicts_as_before(decoy):
    pixels, classes = held_out()
    before, after = (logits_of(c, pixels) for c in (clean_digits(), fooling_digits(decoy=decoy)))
    assert torch.allclose(before, after, atol=1e-4)
    assert (before.argmax(1) == classes).float().mean() > 0.85


def test_its_visualizations_show_the_decoy():
    def shown(classifier):
        found = activation_maximization(classifier, LOGITS, range(10), steps=64, transform=False).images[:, 0]
        return cosine(found.flatten(1).numpy() - 0.5, gratings().flatten(1).numpy())

    fooled, honest = shown(fooling_digits()), shown(clean_digits())
    assert np.array_equal(fooled.argmax(1), np.arange(10))
    assert np.diag(fooled).min() > 0.4
    assert np.abs(np.diag(honest)).mean() < 0.15
