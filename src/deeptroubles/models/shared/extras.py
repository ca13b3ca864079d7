"""Optional packages: imported where they are needed, with one sentence when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from deeptroubles.errors import ModelError
from deeptroubles.models.shared.wording import quoted

_WITH_TORCHVISION = {"timm", "torchvision"}
"""Extras that bring torchvision, which is compiled for one version and build of torch."""


def import_extra(package: str, extra: str) -> Any:
    """Import an optional package, or say how to install it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"This model needs {error.name or package}, which is not installed: {_installation(extra)}."
        ) from error
    except Exception as error:  # for instance a torchvision that was built for another torch
        raise ModelError(
            f"The installed {package} cannot be imported ({quoted(error)}); its version may not fit that of torch. "
            f"Try: {_installation(extra, '--upgrade ')}."
        ) from error


def _installation(extra: str, option: str = "") -> str:
    command = f'pip install {option}"deeptroubles[{extra}]"'
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    if extra not in _WITH_TORCHVISION or major != 2:
        return command
    return (
        f'{command} "torchvision==0.{minor + 15}.*", in the build that matches torch {torch.__version__} (with a CPU '
        "build of torch, torchvision's CPU build, from where torch came from)"
    )
