"""How to look: pure functions, one per file. They return raw numbers and leave everything they touch as it was.

`METHODS` lists the attributions, which `deeptroubles explain` draws: each maps a classifier, images and targets to
one signed map per image.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from deeptroubles.methods.attribution.grad_cam import grad_cam
from deeptroubles.methods.attribution.occlusion import occlusion

METHODS: dict[str, Callable[..., Any]] = {"grad_cam": grad_cam, "occlusion": occlusion}


def describe(name: str) -> str:
    """The docstring of an attribution method."""
    return inspect.getdoc(METHODS[name]) or ""
