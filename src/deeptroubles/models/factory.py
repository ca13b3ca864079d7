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
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.wording import quoted


def load(name: str, overrides: Overrides) -> Classifier:
    """Import the module, call the function without arguments and take the Classifier or module that it returns."""
    answer = load_module(name)
    if isinstance(answer, Classifier):
        return build(answer.module, answer.settings(), overrides) if overrides else answer
    return build(answer, {"name": name}, overrides)


def load_module(name: str) -> nn.Module:
    """Import the module, call the function without arguments and take the torch module that it returns."""
    answer = _call(name)
    if not isinstance(answer, nn.Module):
        raise ModelError(f"{name}() returned a {type(answer).__name__}; it must return a Classifier or a torch module.")
    return answer


def _call(name: str) -> Any:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(_import(module_name), function_name, None)
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


def _import(module_name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # and it stays: a model may import more when it first runs
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not (error.name and f"{module_name}.".startswith(f"{error.name}.")):
            raise  # the module is there, but something that it imports is not
        raise ModelError(
            f"There is no Python module {module_name}, neither installed nor in {here}."
            f"{nearest(module_name, ['timm', 'torchvision', 'hf'])}"
        ) from None


def _describe(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = ([frame for frame in frames if "site-packages" not in frame.filename] or frames)[-1]
    return f"{quoted(error)} ({Path(where.filename).name}, line {where.lineno})"


SOURCE = Source(
    form="package.module:function",
    what="your own code: a function without arguments that returns a Classifier or a torch module",
    brings="whatever the function returns; for a plain module, size must be given",
    runs_code=True,
    general=True,
    pattern=r"([\w.]+:\w+)",
    load=load,
    module=load_module,
)
