"""Weights from a local file, read without running anything that the file contains."""

from __future__ import annotations

import pickle
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeptroubles.errors import ModelError
from deeptroubles.models.shared.extras import import_extra


def load_weights(module: nn.Module, path: str | PathLike[str]) -> None:
    """Put the weights of a safetensors file or of a saved state dict into a module."""
    try:
        module.load_state_dict(_read(Path(path)))
    except RuntimeError as error:
        problem = str(error).splitlines()[1:2] or [str(error)]
        raise ModelError(
            f"{path} does not fit the model ({problem[0].strip()[:200]}); it must hold all its weights and no others. "
            "If the model has its own classes, give their names as well, so that the last layer gets their number."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"There is no weights file {path}.")
    if path.suffix == ".safetensors":
        return dict(import_extra("safetensors.torch", "timm").load_file(path))
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(
            f"{path} holds more than weights, or is damaged, and is not read, because reading pickled Python objects "
            "can run code; save the weights alone: torch.save(model.state_dict(), FILE)."
        ) from error
    for key in ("state_dict", "model"):  # training scripts save the weights beside the optimizer under these names
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{path} holds no state dict; save one with torch.save(model.state_dict(), FILE).")
    return content
