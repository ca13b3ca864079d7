"""Statistics of all activations of a layer against a slow plain loop and against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ImagesError
from deeptroubles.methods.units import filter_statistics as module
from deeptroubles.methods.units.filter_statistics import filter_statistics
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.network import open_network
from deeptroubles.subject import Subject
from tests.methods.test_unit_index import broken, subject
from tests.networks import Plain

SIZE = (8, 10)


def slow(activations: np.ndarray, edges: np.ndarray):
    """One activation at a time. N x U x P."""
    units, positions = activations.shape[1:]
    winners = np.zeros((units, positions), dtype=int)
    histograms = np.zeros((units, len(edges) - 1), dtype=int)
    zero = int(np.flatnonzero(edges == 0)[0])
    for image in activations:
        for p in range(positions):
            if any(image[u, p] != 0 for u in range(units)):
                winners[max(range(units), key=lambda u: (image[u, p], -u)), p] += 1
            for u in range(units):
                value = image[u, p]
                if value > 0:
                    place = max(i for i in range(len(edges) - 1) if edges[i] <= value)
                elif value < 0:
                    place = min(i for i in range(len(edges) - 1) if edges[i + 1] >= value)
                else:
                    place = zero
                histograms[u, place] += 1
    flat = activations.transpose(1, 0, 2).reshape(units, -1).astype(float)
    rectified = np.maximum(flat, 0)
    m = flat.shape[1]
    with np.errstate(invalid="ignore"):
        lifetime = (1 - rectified.mean(1) ** 2 / (rectified**2).mean(1)) / (1 - 1 / m)
    dead = ~(flat > 0).any(1) if flat.min() >= 0 else flat.min(1) == flat.max(1)
    return winners, histograms, (flat <= 0).mean(1), dead, lifetime


@pytest.mark.parametrize("layer", ["2", "3", "4", "8"])
def test_it_is_what_a_slow_loop_finds(layer):
    of = subject(count=9)
    of.classifier.module[1].bias.data[2] = -40  # a dead unit
    found = filter_statistics(of, LocalEngine(batch_size=2), layer)
    pixels = of.pixels(range(9))
    activations = by_unit(open_network(of.classifier).record(pixels, [layer]).activations[layer]).numpy()
    winners, histograms, sparsity, dead, lifetime = slow(activations, found.edges)
    assert found.count == 9
    assert found.winners.shape[0] == activations.shape[1]
    assert np.array_equal(found.winners.reshape(winners.shape), winners)
    assert np.array_equal(found.wins, winners.sum(1))
    # Folding a normalization moves an activation by rounding, rarely over an edge.
    assert np.abs(found.histograms - histograms).sum() <= 4
    assert np.allclose(found.sparsity, sparsity, atol=1e-3)
    assert np.array_equal(found.dead, dead)
    assert found.dead[2] == (layer in {"2", "3"})
    assert np.allclose(found.lifetime_sparsity, lifetime, atol=1e-4, equal_nan=True)


class Given(nn.Module):
    """A layer, `look`, that gives the activations whose number is the brightness of the image."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.look = nn.Embedding.from_pretrained(torch.from_numpy(values.reshape(len(values), -1)))
        self.maps = nn.Unflatten(1, values.shape[1:])

    def forward(self, x):
        number = (x[:, 0, 0, 0] * 255).round().long()
        return self.maps(self.look(number)).mean((2, 3)) + number[:, None] * 0.01


def of_values(values: np.ndarray, batch: int = 3) -> module.FilterStatistics:
    """The statistics of a layer that gives these activations, N x U x h x w."""
    count = len(values)
    pictures = np.broadcast_to(np.arange(count)[:, None, None], (count, 4, 4)).astype(np.uint8)
    padded = np.concatenate([values, np.zeros((256 - count, *values.shape[1:]))]).astype(np.float32)
    of = Subject(Classifier(Given(padded), size=4, channels=1), ImageSet.from_arrays(pictures), np.full(count, -1))
    return filter_statistics(of, LocalEngine(batch_size=batch), "maps")


def test_ties_go_to_the_lowest_unit_and_silence_to_none():
    values = np.zeros((2, 3, 1, 4), dtype=np.float32)
    values[0, :, 0, 0] = [1, 2, 2]
    values[0, :, 0, 1] = [-1, -2, -1]
    values[1, :, 0, 2] = [0, 0, -1]
    found = of_values(values)
    assert found.winners[:, 0].tolist() == [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.wins.tolist() == [2, 1, 0]


def test_edges_and_the_bins_of_values_on_them():
    edges = of_values(np.ones((1, 2, 1, 1), np.float32)).edges
    positive = edges[edges > 0][:-1]
    assert np.allclose(positive[::2], 2.0 ** np.arange(-module.OCTAVES, module.OCTAVES + 1))
    assert np.array_equal(edges, -edges[::-1])
    on = np.concatenate([positive, [0, 1e-30, 1e30, np.nextafter(np.float32(1.5), np.float32(0))]]).astype(np.float32)
    both = np.stack([on, -on])[None, :, None, :]
    found = of_values(both)
    for u, sign in enumerate((1, -1)):
        for value in on:
            above = np.searchsorted(edges, value, side="right") - 1 if value else np.flatnonzero(edges == 0)[0]
            place = above if sign > 0 else len(edges) - 2 - above
            assert found.histograms[u, place] >= 1, value
    assert found.histograms.sum() == both.size


def test_duplicates_are_pairs_that_correlate_in_either_direction():
    random = np.random.default_rng(0)
    a, b = random.normal(1000, 1, (2, 11, 3, 4))  # far from zero: a plain sum of squares would lose the digits
    close = a + 0.25 * random.normal(0, 1, a.shape)  # correlation 0.97
    constant = np.full(a.shape, 0.1)
    values = np.stack([a, b, 2 * a - 5, -b, close, constant, constant], 1).astype(np.float32)
    found = of_values(values, batch=4)
    assert {(i, j) for i, j, _ in found.duplicates} == {(0, 2), (1, 3)}
    flat = values.transpose(1, 0, 2, 3).reshape(7, -1).astype(float)
    for i, j, r in found.duplicates:
        assert np.isclose(r, np.corrcoef(flat[i], flat[j])[0, 1], atol=1e-4)
    assert found.dead.tolist() == [False] * 5 + [True] * 2  # not rectified: what never changes
    assert not of_values(np.maximum(values[:, [0, 2, 5]], 0)).dead.any()  # rectified: what is never above 0


def test_lifetime_sparsity_runs_from_zero_to_one():
    values = np.ones((6, 3, 2, 2), dtype=np.float32)
    values[:, 1] = 0
    values[3, 1, 1, 0] = 7
    values[:, 2] = 0
    found = of_values(values)
    assert np.allclose(found.lifetime_sparsity[:2], [0, 1])
    assert np.isnan(found.lifetime_sparsity[2])
    assert found.sparsity.tolist() == [0, 23 / 24, 1]
    assert found.dead.tolist() == [False, False, True]


def test_pieces_merge_to_the_whole():
    of = subject(count=13)
    whole = filter_statistics(of, LocalEngine(batch_size=1), "2", range(12))
    parts = [module._summarize(of, rows, 1, "2") for rows in ([0, 1, 2], [3], [], range(4, 12))]
    left = module._merge(module._merge(module._merge(parts[0], parts[1]), parts[2]), parts[3])
    right = module._merge(parts[0], module._merge(parts[1], module._merge(parts[2], parts[3])))
    for name in left:
        assert np.allclose(left[name], right[name], rtol=1e-4), name
    assert np.array_equal(left["histograms"], whole.histograms)
    flat = by_unit(open_network(of.classifier).record(of.pixels(range(12)), ["2"]).activations["2"])
    flat = flat.permute(1, 0, 2).reshape(6, -1).double()
    centered = flat - flat.mean(1, keepdim=True)
    assert np.allclose(left["products"], centered @ centered.T, rtol=1e-4, atol=1e-3)


def test_too_many_units_are_not_compared(monkeypatch):
    monkeypatch.setattr(module, "MAX_UNITS", 5)
    assert filter_statistics(subject(count=3), LocalEngine(), "2").duplicates is None


def test_unreadable_images_are_left_out():
    of = subject(count=8)
    found = filter_statistics(broken(of, {1, 4, 5}), LocalEngine(batch_size=2), "5")
    without = filter_statistics(of, LocalEngine(batch_size=2), "5", [0, 2, 3, 6, 7])
    assert found.count == 5
    assert np.abs(found.histograms - without.histograms).sum() <= 2
    with pytest.raises(ImagesError, match="None of the 8 images"):
        filter_statistics(broken(of, set(range(8))), LocalEngine(), "5")


def test_it_restores_what_it_touches():
    of = subject(Plain, count=3)
    of.classifier.train()
    filter_statistics(of, LocalEngine(), "2")
    assert all(m.training for m in of.classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in of.classifier.parameters())
