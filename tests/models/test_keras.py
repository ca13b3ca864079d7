"""Keras 3 models: the outputs of Keras itself, under the names of its layers."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys

import pytest
import torch

from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier, load_module
from deeptroubles.models.keras import import_keras
from deeptroubles.network import HookedNetwork, TracedNetwork, open_network, unit_layers

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is an optional dependency", allow_module_level=True)
keras = import_keras()


def network(*first, size=(20, 24), last="softmax"):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*size, 3)),
            *first,
            layers.Conv2D(8, 3, padding="same", activation="relu", name="low"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(8, 3, activation="relu", name="high"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dropout(0.9),
            layers.Dense(4, activation=last, name="head"),
        ]
    )


@pytest.fixture
def pixels():
    return torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def test_a_file_gives_the_outputs_of_keras(tmp_path, pixels):
    model = network()
    model.save(tmp_path / "small.keras")
    classifier = load_classifier(str(tmp_path / "small.keras"), class_names=list("abcd"))
    assert (classifier.size, classifier.channels, classifier.name) == ((20, 24), 3, "small")
    expected = model.predict(pixels.permute(0, 2, 3, 1).numpy(), verbose=0)
    torch.testing.assert_close(classifier(pixels).softmax(1).detach(), torch.from_numpy(expected))


def test_a_model_that_scales_bytes_gets_bytes(tmp_path, pixels):
    for name, first in (("bytes", [keras.layers.Rescaling(1 / 255)]), ("unit", [])):
        network(*first, last=None).save(tmp_path / f"{name}.keras")
    of_bytes, of_unit = (load_classifier(str(tmp_path / f"{name}.keras")) for name in ("bytes", "unit"))
    torch.testing.assert_close(of_bytes(pixels), of_unit(pixels))


def test_layers_have_the_names_of_keras_in_both_readings(tmp_path, pixels):
    network(last=None).save(tmp_path / "small.keras")
    classifier = load_classifier(str(tmp_path / "small.keras"))
    traced, hooked = open_network(classifier), HookedNetwork(classifier)
    assert isinstance(traced, TracedNetwork)
    names = ["low", "norm", "pool", "high", "mean", "head"]
    for reading in (traced, hooked):
        assert set(names) <= {layer.name for layer in reading.layers}
    kept = [reading.record(pixels, names).activations for reading in (traced, hooked)]
    for name in names:
        torch.testing.assert_close(kept[0][name], kept[1][name])
    assert unit_layers(traced)


def test_changed_weights_are_seen(tmp_path, pixels):
    network(last=None).save(tmp_path / "small.keras")
    classifier = load_classifier(str(tmp_path / "small.keras"))
    before, mark = open_network(classifier)(pixels), classifier.fingerprint()
    with torch.no_grad():
        next(p for name, p in classifier.named_parameters() if "head/bias" in name).add_(1)
    torch.testing.assert_close(open_network(classifier)(pixels), before + 1)
    assert classifier.fingerprint() != mark


def test_a_copy_has_weights_and_names_of_its_own(tmp_path, pixels):
    network(last=None).save(tmp_path / "small.keras")
    classifier = load_classifier(str(tmp_path / "small.keras"))
    other = copy.deepcopy(classifier)
    torch.testing.assert_close(other(pixels), classifier(pixels))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not other(pixels).any()
    assert classifier(pixels).any()
    assert "low" in dict(other.module.named_modules())


class Refined(keras.layers.Layer):
    """A layer that holds another: names inside of it."""

    def __init__(self):
        super().__init__(name="refined")
        self.inner = keras.layers.Conv2D(3, 1, name="inner")

    def call(self, inputs):
        return self.inner(inputs) + inputs


def test_layers_inside_of_layers_and_models(pixels):
    from deeptroubles.models.keras import KerasNetwork

    inner = network(Refined(), last=None)
    whole = KerasNetwork(keras.Sequential([keras.Input((20, 24, 3)), inner, keras.layers.Dense(2, name="head")]))
    named = dict(whole.named_modules())
    assert {"refined", "inner", "low", "head", "head_"} <= named.keys()
    assert whole(pixels).shape == (3, 2)


def test_channels_first_stay_first(pixels):
    from deeptroubles.models.keras import KerasNetwork

    layers = keras.layers
    convolution = layers.Conv2D(4, 3, data_format="channels_first")
    pooled = layers.GlobalAveragePooling2D(data_format="channels_first")
    module = KerasNetwork(keras.Sequential([keras.Input((3, 20, 24)), convolution, pooled]))
    assert module.takes == {"channels": 3, "size": (20, 24)}
    assert module(pixels).shape == (3, 4)


FACTORY = """
import keras

def build():
    layers = keras.layers
    return keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()])
"""


def test_a_function_may_return_a_keras_model(here, pixels):
    (here / "nets.py").write_text(FACTORY)
    classifier = load_classifier("nets:build", size=(20, 24))
    assert classifier(pixels).shape == (3, 4)
    assert load_module("nets:build")(pixels).shape == (3, 4)


def test_a_function_that_imports_keras_gets_the_torch_backend(here):
    (here / "nets.py").write_text(FACTORY)
    code = "from deeptroubles import load_classifier; print(load_classifier('nets:build', size=16))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=False)
    assert "4 classes" in done.stdout, done.stderr


def test_another_backend_is_refused(monkeypatch, tmp_path):
    network().save(tmp_path / "small.keras")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ModelError, match=r"backend jax.*KERAS_BACKEND=torch"):
        load_classifier(str(tmp_path / "small.keras"))


def test_code_inside_of_a_file_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((20, 24, 3)), keras.layers.Lambda(lambda x: x), keras.layers.Flatten()])
    model.save(tmp_path / "small.keras")
    with pytest.raises(ModelError, match=r"cannot be loaded as a Keras model .*package\.module:function"):
        load_classifier(str(tmp_path / "small.keras"))


def test_what_is_no_model_is_told(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"was not written by model\.save"):
        load_classifier(str(tmp_path / "a.keras"))
    with pytest.raises(ModelError, match="no file"):
        load_classifier(str(tmp_path / "b.keras"))
