"""How to look: pure functions, one per file. They return raw numbers and leave everything they touch as it was.

`METHODS` lists the attributions, which `deeptroubles explain` draws: each maps a classifier, images and targets to
one signed map per image. A method is the function that has the name of its file in `methods/attribution/`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _found() -> dict[str, Callable[..., Any]]:
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "attribution")])]
    modules = {name: importlib.import_module(f"deeptroubles.methods.attribution.{name}") for name in sorted(names)}
    return {name: getattr(module, name) for name, module in modules.items() if hasattr(module, name)}


METHODS = _found()
