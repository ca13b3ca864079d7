"""A trained model as a folder.

model.safetensors   the weights
model.json          what they belong to: the network that was trained, its head, classes and preprocessing
held_out.csv        images that training never saw, for an audit
README.md, ...      the model card and what else training leaves
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.models.shared.weights import load_weights
from deeptroubles.run.files import write_whole

FACTS, WEIGHTS, HELD_OUT, CURVES = "model.json", "model.safetensors", "held_out.csv", "curves.csv"
FORMAT = 1

HeadKind = Literal["linear", "gap"]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What the weights of a folder belong to.

    Attributes:
        base: The source of the network that was trained, such as `efficientnet-lite0`.
        settings: What was said about the base by hand, such as its size.
        head: `linear`: the last layer is a new one. `gap`: global average pooling and one linear layer.
        anti_aliased: Whether everything that skips pixels blurs before it does.
        class_names: The classes.
        name: What to call the model.
        code: Whether the base runs code of its own when it is loaded.
        training: How it was trained and on which images; for people.
        format: Version of this file.
    """

    base: str
    settings: dict[str, Any] = field(default_factory=dict)
    head: HeadKind = "linear"
    anti_aliased: bool = False
    class_names: list[str]
    name: str
    code: bool = False
    training: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


_FACTS: TypeAdapter[ModelFacts] = TypeAdapter(ModelFacts)


def write_model(folder: Path, classifier: Classifier, facts: ModelFacts) -> None:
    """Write the weights of a classifier and what they belong to. Raises RunFolderError where they cannot be written."""
    weights = {name: np.ascontiguousarray(t.detach().cpu().numpy()) for name, t in _weights(classifier.module).items()}
    write_whole(folder / WEIGHTS, save(weights))
    write_whole(folder / FACTS, json.dumps(asdict(facts), ensure_ascii=False, indent=1).encode())


def read_facts(folder: Path) -> ModelFacts:
    """What the weights of a folder belong to. Raises ModelError where the file is missing or damaged."""
    try:
        facts = _FACTS.validate_json((folder / FACTS).read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no trained model: {FACTS} is missing.") from None
    except (OSError, ValidationError) as error:
        raise ModelError(f"{folder / FACTS} cannot be read ({str(error).splitlines()[0]}).") from error
    if facts.format > FORMAT:
        raise ModelError(f"{folder} was written by a newer version of deeptroubles; update this one.")
    return facts


def fill(classifier: Classifier, folder: Path) -> Classifier:
    """The same classifier with the weights of a folder. Raises ModelError where they do not fit."""
    load_weights(classifier.module, folder / WEIGHTS)
    return classifier


def _weights(module: nn.Module) -> dict[str, Any]:
    """The state dict; a tensor that several names share is written under each."""
    return dict(module.state_dict())
