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

_INSIDE = ("state_dict", "model_state_dict", "model")
"""Keys of the state dict in checkpoints that also contain the optimizer."""
_COMPILED = "_orig_mod."
_COUNTER = "num_batches_tracked"
WEIGHTS_ONLY = r"\.(?:safetensors|ckpt|bin|th)$"
"""Names of files that hold nothing but weights, or a checkpoint with weights in it."""


def how_to_build(path: str | PathLike[str]) -> str:
    """What to give instead of weights alone, as a sentence."""
    return (
        "Name what builds the network, then the file: a function of yours without arguments "
        f"(package.module:function@{path}), timm:NAME@{path} or torchvision:NAME@{path}."
    )


def load_weights(module: nn.Module, path: str | PathLike[str]) -> str:
    """Put the weights of a safetensors file or of a saved state dict into a module.

    A prefix that a wrapper put before all names (`module.` of DataParallel, `_orig_mod.` of torch.compile, the
    attribute of a Lightning module) is taken off.

    Returns:
        One sentence on what was taken off and left out; '' if nothing.

    Raises:
        ModelError: The file is missing, holds more than weights, or its weights are not those of the module.
    """
    weights, note = _fitted(_read(Path(path)), list(module.state_dict()))
    if problem := _misfit(weights, module.state_dict()):
        raise ModelError(
            f"{path} does not fit the model ({problem}); it must hold all its weights and no others. Is it the same "
            "network, in the same version? If it has its own classes, give their names as well, so that the last "
            "layer of a model of timm or torchvision gets their number."
        )
    module.load_state_dict(weights, strict=False)  # what a file may lack are counters that prediction never reads
    return f"{Path(path).name}: {note}." if note else ""


def _misfit(weights: dict[str, Tensor], wanted: dict[str, Tensor]) -> str:
    """What is missing, unexpected or of another shape; '' if nothing."""
    missing = [name for name in wanted if name not in weights and not name.endswith(_COUNTER)]
    unexpected = [name for name in weights if name not in wanted]
    other = [
        f"{name}: {_shape(weights[name])} instead of {_shape(wanted[name])}"
        for name in wanted
        if name in weights and weights[name].shape not in {wanted[name].shape, wanted[name].shape or (1,)}
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
    return "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds if names)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _fitted(weights: dict[str, Tensor], wanted: list[str]) -> tuple[dict[str, Tensor], str]:
    """The weights under the names that a module has, and what was done to get there.

    The prefix is the shortest one under which all wanted names are found. Without one, weights stay as they are.
    """
    plain = {name.replace(_COMPILED, ""): weight for name, weight in weights.items()}
    original = {name.replace(_COMPILED, ""): name for name in weights}
    if len(plain) < len(weights) or not wanted:
        return weights, ""
    ends = (name.removesuffix(wanted[0]) for name in plain if name.endswith(wanted[0]))
    for prefix in sorted((end for end in ends if not end or end.endswith(".")), key=len):
        if all(prefix + name in plain for name in wanted if not name.endswith(_COUNTER)):
            inside = {name.removeprefix(prefix): w for name, w in plain.items() if name.startswith(prefix)}
            taken_off = original[prefix + wanted[0]].removesuffix(wanted[0])
            others = len(plain) - len(inside)
            said = [f"the prefix {taken_off!r} was taken off the names of its weights"] if taken_off else []
            if others:
                said.append(f"{others} tensors without it were left out" if others > 1 else "1 tensor was left out")
            return inside, "; ".join(said)
    return weights, ""


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
            "can run code; save the weights alone: torch.save(model.state_dict(), FILE). From a checkpoint that you "
            "trust: torch.save(torch.load(OLD, weights_only=False)['state_dict'], FILE)."
        ) from error
    for key in _INSIDE:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{path} holds no state dict; save one with torch.save(model.state_dict(), FILE).")
    return content
