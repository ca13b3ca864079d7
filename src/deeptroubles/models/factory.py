"""A model from a person's own code: `package.module:function`.

This runs that code, with the current folder importable, as `python -m package.module` would.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import DeeptroublesError, ModelError, nearest
from deeptroubles.models.keras import KerasNetwork, import_keras, is_keras, prefer_torch
from deeptroubles.models.shared.overrides import Overrides, build, without_weights
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.weights import load_weights
from deeptroubles.models.shared.wording import quoted


def load(name: str, overrides: Overrides) -> Classifier:
    """Import the module, call the function without arguments and take the Classifier or module that it returns.

    Weights of a local file go into it: the function need only build the network.
    """
    answer = load_module(name)
    module = answer.module if isinstance(answer, Classifier) else answer
    weights = overrides.get("weights")
    note = "" if weights is None else load_weights(module, weights)
    if isinstance(answer, Classifier):
        return build(module, answer.settings(), overrides, note) if overrides else answer
    known = module.takes if isinstance(module, KerasNetwork) else {}
    return build(module, {"name": name, **known}, overrides, note)


def skeleton(name: str, overrides: Overrides) -> Classifier:
    """The same network with the weights that the function gives it."""
    return load(name, without_weights(overrides))


def load_module(name: str) -> nn.Module:
    """Import the module, call the function without arguments and take the network that it returns, as a module."""
    prefer_torch()
    answer = _call(name)
    if is_keras(answer):
        import_keras()  # which refuses other backends
        return KerasNetwork(answer)
    if not isinstance(answer, nn.Module):
        raise ModelError(
            f"{name}() returned an object of type {type(answer).__name__}; it must return a Classifier, a torch module "
            "or a keras.Model."
        )
    return answer


def _call(name: str) -> Any:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(_import(module_name, function_name), function_name, None)
        if callable(function) and not isinstance(function, nn.Module):
            return function()
    except DeeptroublesError:
        raise
    except Exception as error:
        raise ModelError(f"{name} failed: {_describe(error)}.") from error
    names = [key for key, value in vars(sys.modules[module_name]).items() if callable(value) and key[0] != "_"]
    raise ModelError(
        f"{module_name} has no function {function_name} that returns a model.{nearest(function_name, names)}"
    )


def _import(module_name: str, function: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and it stays: a model may import more when it first runs
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not (error.name and f"{module_name}.".startswith(f"{error.name}.")):
            raise  # the module is there, but something that it imports is not
        hint = nearest(module_name, ["timm", "torchvision", "hf"])
        if module_name.endswith(".py"):
            hint = f" Give the module without .py: {module_name.removesuffix('.py')}:{function}."
        raise ModelError(f"There is no Python module {module_name}, neither installed nor in {here}.{hint}") from None


def _describe(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = ([frame for frame in frames if "site-packages" not in frame.filename] or frames)[-1]
    return f"{quoted(error)} ({Path(where.filename).name}, line {where.lineno})"


SOURCE = Source(
    form="package.module:function",
    what="your own code: a function without arguments that returns a Classifier, a torch module or a keras.Model; "
    "package.module:function@FILE fills in the weights of a file",
    brings="whatever the function returns; for a plain module, size must be given",
    runs_code=True,
    takes_weights=True,
    general=True,
    pattern=r"([\w.]+:\w+)",
    load=load,
    skeleton=skeleton,
    module=load_module,
)
