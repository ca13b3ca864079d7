"""Keras 3 models with PyTorch as their backend: `.keras` files, and what a function of yours returns.

Keras takes pixels channels last and calls its layers past PyTorch's hooks. `KerasNetwork` takes them channels first and
makes every layer a module of PyTorch, so that layers have names here as there.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.models.shared.extras import import_extra
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.wording import quoted

_BYTE = 1 / 255


class KerasNetwork(nn.Module):
    """A `keras.Model` as a network of PyTorch: N x C x H x W in, whatever the model returns out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._channels_first = any(
            getattr(layer, "data_format", None) == "channels_first" for layer in _layers_of(model)
        )
        for layer in _layers_of(model):
            called = _Called(layer.call)
            self.add_module(self._free_name(layer.name.replace(".", "_")), called)
            object.__setattr__(layer, "call", called)  # not as an attribute that Keras tracks

    def forward(self, inputs: Tensor) -> Any:
        """Run the model as at test time, on the device of the inputs."""
        pixels = inputs if self._channels_first else inputs.permute(0, 2, 3, 1)
        with import_keras().device(str(pixels.device)):
            return self.model(pixels, training=False)

    @property
    def takes(self) -> dict[str, Any]:
        """Size, channels and range of the input, as far as the model fixes them."""
        shape = self.model.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4:
            raise ModelError(f"The Keras model {self.model.name} does not take one batch of images as its only input.")
        channels, *sides = shape[1:] if self._channels_first else (shape[3], *shape[1:3])
        known: dict[str, Any] = {} if channels is None else {"channels": channels}
        known |= {} if None in sides else {"size": tuple(sides)}
        return known | ({"std": [_BYTE]} if self._takes_bytes() else {})

    def _takes_bytes(self) -> bool:
        """Whether the model begins by scaling pixels of 0..255 itself."""
        first = next((layer for layer in _layers_of(self.model)), None)
        return type(first).__name__ == "Rescaling" and max(_numbers(first.scale)) < 0.1  # type: ignore[union-attr]

    def _free_name(self, name: str) -> str:
        while hasattr(self, name):
            name += "_"
        return name

    def __deepcopy__(self, memo: dict[int, Any]) -> KerasNetwork:
        return KerasNetwork(copy.deepcopy(self.model, memo)).train(self.training)


class _Called(nn.Module):
    """The call of a layer, as a module that PyTorch's hooks and traces see. The layer keeps its weights."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self._call = call

    def forward(self, *arguments: Any, **settings: Any) -> Any:
        return self._call(*arguments, **settings)


def import_keras() -> Any:
    """Import Keras with PyTorch as its backend. Raises ModelError where it is not installed or has another backend."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    keras = import_extra("keras", "keras")
    if keras.backend.backend() != "torch":
        raise ModelError(
            f"Keras was imported with the backend {keras.backend.backend()}, and only its PyTorch backend has layers "
            "and gradients here: set the environment variable KERAS_BACKEND=torch before Python starts."
        )
    return keras


def prefer_torch() -> None:
    """Make a later `import keras` in a person's code use PyTorch, unless the person chose a backend."""
    if "keras" not in sys.modules and importlib.util.find_spec("keras"):
        os.environ.setdefault("KERAS_BACKEND", "torch")


def is_keras(answer: Any) -> bool:
    """Whether something is a Keras model, of any backend."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(answer, keras.Model)


def load(name: str, overrides: Overrides) -> Classifier:
    """Load the model; its input says the size, the channels and whether it takes pixels of 0..255."""
    module = load_module(name)
    return build(module, {"name": Path(name).stem, **module.takes}, overrides)


def load_module(name: str) -> KerasNetwork:
    """Load the model. Code inside of the file (Lambda layers) is refused."""
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} was not written by model.save of Keras 3, or is damaged; save it again as .keras.")
    try:
        return KerasNetwork(import_keras().saving.load_model(path, compile=False, safe_mode=True))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded as a Keras model ({quoted(error)}); if it needs code of yours, write a function "
            "that returns the keras.Model, and give it as package.module:function."
        ) from error


def _layers_of(model: Any) -> list[Any]:
    """All layers that compute, in order, those inside of others too."""
    keras = import_keras()
    return [each for each in model._flatten_layers(include_self=False) if not isinstance(each, keras.layers.InputLayer)]  # noqa: SLF001


def _numbers(scale: Any) -> list[float]:
    return [float(each) for each in scale] if isinstance(scale, list | tuple) else [float(scale)]


SOURCE = Source(
    form="FILE.keras",
    what="a model of Keras 3, run by its PyTorch backend",
    brings="weights, input size, channels",
    extra="keras",
    pattern=r"(?i:(.+\.keras))",
    load=load,
    module=load_module,
)
