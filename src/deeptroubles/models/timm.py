"""Models of timm (PyTorch Image Models), by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, nearest
from deeptroubles.imagenet import CLASSES, imagenet_names
from deeptroubles.models.shared.extras import import_extra
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.weights import load_weights
from deeptroubles.models.shared.wording import quoted


def load(name: str, overrides: Overrides) -> Classifier:
    """Create the model with its published weights, or with those of a local file."""
    return _load(name, overrides, _create)


def skeleton(name: str, overrides: Overrides) -> Classifier:
    """Create the model with random weights."""
    return _load(name, overrides, lambda timm, name, _: (timm.create_model(name, pretrained=False), ""))


def _load(
    name: str, overrides: Overrides, create: Callable[[Any, str, Overrides], tuple[nn.Module, str]]
) -> Classifier:
    timm = import_extra("timm", "timm")
    if not timm.is_model(name):
        raise ModelError(f"timm has no model {name}.{nearest(name, timm.list_models())}")
    module, note = create(timm, name, overrides)
    known = {"name": name, **_preprocessing(timm.data.resolve_model_data_config(module))}
    if module.num_classes == CLASSES:
        known |= imagenet_names()
    return build(module.eval(), known, overrides, note)


def _create(timm: Any, name: str, overrides: Overrides) -> tuple[nn.Module, str]:
    """The model with its weights, and a note on how they were read."""
    weights, class_names = overrides.get("weights"), overrides.get("class_names")
    if weights is not None:
        classes = {} if class_names is None else {"num_classes": len(class_names)}
        module: nn.Module = timm.create_model(name, pretrained=False, **classes)
        return module, load_weights(module, weights)
    try:
        return timm.create_model(name, pretrained=True), ""
    except Exception as error:
        raise ModelError(
            f"timm could not get the weights of {name} ({quoted(error)}); check the name and the network, or "
            "give a local file with weights=FILE (on the command line: --weights)."
        ) from error


def _preprocessing(config: dict[str, Any]) -> dict[str, Any]:
    channels, height, width = config["input_size"]
    scaled = (math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"]))
    return {
        "size": (height, width),
        "channels": channels,
        # "squash" gives up the proportions of the picture; otherwise its shorter side is scaled.
        "resize": scaled if config["crop_mode"] == "squash" else min(scaled),
        "interpolation": config["interpolation"],
        "mean": config["mean"],
        "std": config["std"],
    }


SOURCE = Source(
    form="timm:NAME",
    what="a model of timm (PyTorch Image Models); timm:NAME@FILE takes its weights from a file",
    brings="weights, preprocessing, ImageNet class names",
    extra="timm",
    takes_weights=True,
    pattern="timm:(.+)",
    load=load,
    skeleton=skeleton,
)
