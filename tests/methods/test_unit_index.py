"""The index of all units against a slow plain loop, and what makes it fit for any number of images."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deeptroubles import Classifier, ImageSet
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import ImagesError, ModelError, UnreadableImageError
from deeptroubles.methods.units.index_units import Samples, index_units
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.methods.units.shared.samples import sample_box
from deeptroubles.methods.units.shared.summaries import keys_of, merge, priority, read_keys, strongest, summarize
from deeptroubles.network import is_rectified, layer_reducer, open_network, reusing_reducers, unit_layers
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject
from tests.networks import Plain, Shared, Untraceable

SIZE = (12, 16)


def subject(model=Plain, count: int = 30, channels: int = 3) -> Subject:
    random = np.random.default_rng(0)
    shape = (count, *SIZE) if channels == 1 else (count, *SIZE, 3)
    images = ImageSet.from_arrays(random.integers(0, 256, shape, dtype=np.uint8))
    module = model(channels) if model is Plain else model()
    classifier = Classifier(module, size=SIZE, channels=channels, mean=[0.4], std=[0.2])
    return Subject(classifier, images, np.full(count, -1))


def slow(of: Subject, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Activation and cell of every unit (N x U), one image and one unit at a time."""
    values, cells = [], []
    for i in range(len(of.images)):
        (maps,) = by_unit(open_network(of.classifier).record(of.pixels([i]), [layer]).activations[layer])
        values.append([float(m.max()) for m in maps])
        cells.append([int(m.argmax()) for m in maps])
    return np.array(values), np.array(cells)


def assert_same(a: Samples, b: Samples, *, exactly: bool = True) -> None:
    assert np.array_equal(a.images, b.images)
    assert np.array_equal(a.cells, b.cells)
    assert np.array_equal(a.values, b.values, equal_nan=True) if exactly else np.allclose(a.values, b.values, atol=1e-5)


# --- against a plain loop


@pytest.mark.parametrize(("model", "channels"), [(Plain, 1), (Plain, 3), (Shared, 3), (Untraceable, 3)])
@pytest.mark.filterwarnings("ignore:Untraceable could not be traced")
def test_it_is_what_a_slow_loop_finds(model, channels):
    of = subject(model, channels=channels)
    index = index_units(of, LocalEngine(batch_size=7), samples=4)
    assert list(index.layers) == [layer.name for layer in unit_layers(open_network(of.classifier))]
    assert index.kept.tolist() == list(range(30))
    for name, layer in index.layers.items():
        values, cells = slow(of, name)
        assert layer.count == 30
        assert np.allclose(layer.values, values, atol=1e-5)
        assert np.allclose(layer.mean, values.mean(0), atol=1e-5)
        assert np.allclose(layer.active, (values > 0).mean(0))
        assert np.allclose(layer.maximum, values.max(0), atol=1e-5)
        assert np.allclose(layer.minimum, values.min(0), atol=1e-5)
        distance = np.abs(layer.values - np.median(layer.values, axis=0))
        wanted = {"top": -layer.values, "low": layer.values, "middle": distance}  # the loop's values but for rounding
        for which, badness in wanted.items():
            order = np.argsort(badness, axis=0, kind="stable")[:4].T
            found = getattr(layer, which)
            assert np.array_equal(found.images, order)
            assert np.array_equal(found.values, np.take_along_axis(layer.values.T, order, 1))
            at = np.take_along_axis(values.T, order, 1)
            clear = np.abs(at - 0) > 1e-4  # where nothing is active every cell is as good
            assert np.array_equal(found.cells[clear], np.take_along_axis(cells.T, order, 1)[clear])


@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (3, 5, 1, 1), (2, 3, 7, 7), (3, 5), (3, 6, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_first_of_equal_maxima_is_found_in_any_layout(shape, layout):
    for seed in range(5):
        x = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()
        values, cells = strongest(x.contiguous(memory_format=layout) if x.ndim == 4 else x)
        flat = by_unit(x).numpy()
        assert np.array_equal(values.numpy(), flat.max(2))
        assert np.array_equal(cells.numpy(), flat.argmax(2))  # numpy's is the first one


def test_equal_activations_are_in_the_order_of_the_images():
    of = subject(count=1)
    same = Subject(of.classifier, ImageSet.from_arrays(np.full((9, *SIZE, 3), 99, dtype=np.uint8)), np.full(9, -1))
    index = index_units(same, LocalEngine(batch_size=9), samples=3)
    for layer in index.layers.values():
        for found in (layer.top, layer.middle, layer.low):
            assert (found.images == [0, 1, 2]).all()


# --- pieces


@pytest.mark.parametrize("keep", [5, 64])
def test_halves_merge_to_the_whole(keep):
    of, layers = subject(count=40), ["2", "5", "8"]
    random = np.random.default_rng(1)
    last = int(np.sort(priority(np.arange(40), 3))[keep - 1]) if keep < 40 else np.iinfo(np.int64).max

    def of_some(rows):
        return summarize(of, rows, 1, layers=layers, samples=6, seed=3, last=last)

    with reusing_reducers():
        whole = of_some(range(40))
        for _ in range(4):
            order, cut = random.permutation(40), int(random.integers(0, 41))
            parts = [of_some(part.tolist()) for part in (order[:cut], order[cut:]) if len(part)]
            merged = parts[0] if len(parts) == 1 else merge(*parts)
            rows = np.argsort(merged["kept"])
            for name in ("count", "active", "top", "top_cells", "low", "low_cells"):
                assert np.array_equal(merged[name], whole[name]), name
            for name in ("kept", "values", "cells"):
                assert np.array_equal(merged[name][rows], whole[name]), name
            assert np.allclose(merged["sum"], whole["sum"], rtol=1e-12)
    assert len(whole["kept"]) == min(keep, 40)


def test_the_total_does_not_grow_with_the_number_of_images():
    sizes = []
    for count in (60, 240):
        last = int(np.sort(priority(np.arange(count), 0))[9])
        with reusing_reducers():
            total = summarize(subject(count=count), range(count), 32, layers=["2"], samples=3, seed=0, last=last)
        assert len(total["kept"]) == 10
        sizes.append(sum(array.nbytes for array in total.values()))
    assert sizes[0] == sizes[1]


@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20), first=st.integers(0, 1 << 31))
@settings(max_examples=200, deadline=None)
def test_keys_order_by_value_then_by_position_and_come_back(values, first):
    values, images = np.array(values, dtype=np.float32), first + np.arange(len(values))
    keys = keys_of(values, images)
    back, positions = read_keys(keys)
    assert np.array_equal(back, values)
    assert np.array_equal(positions, images)
    assert np.argsort(-keys).tolist() == np.lexsort((images, -values.astype(np.float64))).tolist()


def test_the_kept_images_are_a_uniform_sample_decided_by_the_seed():
    of = subject(count=60)
    first, again, other = (index_units(of, LocalEngine(), ["8"], keep=10, seed=s).kept.tolist() for s in (0, 0, 1))
    assert first == again == sorted(first)
    assert first != other
    assert len(first) == len(other) == 10
    drawn = np.zeros(60)
    for seed in range(3000):
        drawn[np.argsort(priority(np.arange(60), seed))[:10]] += 1
    expected = 3000 * 10 / 60
    chi = ((drawn - expected) ** 2 / expected).sum() / (1 - 10 / 60)  # drawn without replacement
    assert 35 < chi < 92  # 0.1 % and 99.9 % quantiles with 59 degrees of freedom are 31 and 98


def test_lists_are_filled_up_where_there_are_fewer_images():
    layer = index_units(subject(count=2), LocalEngine(), ["5"], samples=4).layers["5"]
    for found in (layer.top, layer.middle, layer.low):
        assert found.values.shape == found.images.shape == found.cells.shape == (8, 4)
        assert (found.images[:, 2:] == -1).all()
        assert (found.cells[:, 2:] == -1).all()
        assert np.isnan(found.values[:, 2:]).all()
        assert not np.isnan(found.values[:, :2]).any()


def test_a_killed_run_goes_on_and_a_repeated_one_computes_nothing(tmp_path, monkeypatch):
    of, identity = subject(count=20), {"model": "m", "images": "i", "seed": "0"}
    first = index_units(of, LocalEngine(RunFolder(tmp_path / "run", identity)))
    monkeypatch.setattr(Subject, "pixels", None)
    again = index_units(of, LocalEngine(RunFolder(tmp_path / "run", identity)))
    for name, layer in first.layers.items():
        for field in fields(layer):
            a, b = getattr(layer, field.name), getattr(again.layers[name], field.name)
            assert_same(a, b) if isinstance(a, Samples) else np.testing.assert_array_equal(a, b)


# --- unusual subjects


def broken(of: Subject, bad: set[int]) -> Subject:
    def fetch(i):
        if i in bad:
            raise UnreadableImageError(f"image {i}", "broken")
        return of.images.fetch(i)

    return Subject(of.classifier, ImageSet("some", of.images.table, fetch), of.targets)


def test_unreadable_images_are_left_out_and_named():
    of = subject(count=12)
    index = index_units(broken(of, {0, 5, 6, 7, 11}), LocalEngine(batch_size=3), ["5"], samples=7)
    left = [1, 2, 3, 4, 8, 9, 10]
    assert index.unreadable.tolist() == [0, 5, 6, 7, 11]
    assert index.kept.tolist() == left
    assert index.layers["5"].count == 7
    assert (np.sort(index.layers["5"].top.images, axis=1) == left).all()
    with pytest.raises(ImagesError, match="None of the 12 images"):
        index_units(broken(of, set(range(12))), LocalEngine(batch_size=3), ["5"])


def test_weights_that_changed_are_read_anew():
    of = subject(count=6)
    before = index_units(of, LocalEngine(), ["2"]).layers["2"]
    of.classifier.module[1].weight.data.mul_(2)
    of.classifier.module[1].bias.data.mul_(2)
    after = index_units(of, LocalEngine(), ["2"]).layers["2"]
    assert np.allclose(after.values, 2 * before.values, atol=1e-5)


def test_it_restores_what_it_touches():
    of = subject(count=6)
    of.classifier.train()
    weights = {name: value.clone() for name, value in of.classifier.state_dict().items()}
    state = torch.get_rng_state()
    index_units(of, LocalEngine())
    assert all(module.training for module in of.classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in of.classifier.parameters())
    assert all(torch.equal(weights[name], value) for name, value in of.classifier.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_layers_can_be_named_even_before_a_normalization():
    of = subject(count=8)
    index = index_units(of, LocalEngine(batch_size=8), ["0", "logits"])
    for name in ("0", "logits"):
        assert np.allclose(index.layers[name].values, slow(of, name)[0], atol=1e-5)
    with pytest.raises(ModelError, match="no layer 'nine'"):
        index_units(of, LocalEngine(), ["nine"])


# --- which layers


class Gated(nn.Module):
    """x * sigmoid(x) written out, dropout, a depthwise convolution, tokens, an addition, a value read on the way."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.twice, self.drop = nn.Conv2d(4, 4, 1), nn.Dropout(0.5)
        self.relu, self.tokens, self.head = nn.ReLU(), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = self.stem(x)
        x = x * torch.sigmoid(x)
        y = self.drop(self.relu(self.depthwise(x)))
        z = self.twice(y)
        x = self.relu(z) + z + x
        return self.head(self.tokens(x.flatten(2).transpose(1, 2)).mean(1))


def test_unit_layers_are_the_ends_of_chains():
    layers = unit_layers(open_network(Classifier(Gated(), size=SIZE)))
    found = [(layer.name, layer.operation, layer.shape) for layer in layers]
    assert found == [
        (":mul", "mul", (4, 6, 8)),
        ("relu", "relu", (4, 6, 8)),
        (":add", "add", (4, 6, 8)),  # relu(z) + z reads nothing but z: one activation
        (":add@1", "add", (4, 6, 8)),
        ("tokens", "linear", (48, 5)),
        ("head", "linear", (3,)),
    ]


@pytest.mark.filterwarnings("ignore:Untraceable could not be traced")
def test_untraced_networks_have_the_same_unit_layers():
    traced, hooked = (open_network(Classifier(model(), size=SIZE)) for model in (Plain, Untraceable))
    assert [layer.name for layer in unit_layers(traced)] == ["2", "5", "8"]
    assert [layer.name for layer in unit_layers(hooked)] == ["inner.2", "inner.5", "inner.8"]
    for network, prefix in ((traced, ""), (hooked, "inner.")):
        assert [is_rectified(network, prefix + name) for name in "258"] == [True, True, False]


def test_reduced_layers_are_what_is_recorded():
    network = open_network(Classifier(Gated(), size=SIZE, mean=[0.5]))
    pixels = torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    names = [layer.name for layer in network.layers if layer.shape]
    recorded = network.record(pixels, names).activations
    for name, found in zip(names, layer_reducer(network, names, torch.clone)(pixels), strict=True):
        assert torch.allclose(found, recorded[name], atol=1e-5), name


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_are_computed_with_channels_last(channels):
    """Which is twice as quick on a CPU; one gray channel can have either layout."""
    network = open_network(Classifier(Plain(channels), size=SIZE, channels=channels))
    (strides,) = layer_reducer(network, ["2"], lambda maps: maps.stride())(torch.rand(2, channels, *SIZE))
    assert strides[1] == 1


# --- crops


def test_boxes_of_samples():
    network = open_network(Classifier(Plain(), size=SIZE))
    assert sample_box(network, "5", 5, (3, 4)) == network.receptive_field("5").box(1, 1)
    assert sample_box(network, "8", 0, (1, 1), "cell") == (0, 0, *SIZE)
    assert sample_box(network, "5", 5, (3, 4), "cell") == (0, 0, 12, 12)  # three cells of 4 x 4 around (6, 6)
    assert sample_box(network, "5", 7, (3, 4), "cell") == (0, 4, 12, 16)  # moved inside
    assert sample_box(network, "2", 0, SIZE, "cell") == (0, 0, 3, 3)
    assert sample_box(network, "2", 5 * 16 + 8, SIZE, "cell") == (4, 7, 7, 10)
