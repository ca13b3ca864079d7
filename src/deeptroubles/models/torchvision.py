"""Classification models of torchvision, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.error import URLError

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
    """Create the model with its default published weights, or with those of a local file."""
    return _load(name, overrides, _create)


def skeleton(name: str, overrides: Overrides) -> Classifier:
    """Create the model with random weights."""
    return _load(name, overrides, lambda models, name, _: (_untrained(models, name), ""))


def _load(
    name: str, overrides: Overrides, create: Callable[[Any, str, Overrides], tuple[nn.Module, str]]
) -> Classifier:
    models = import_extra("torchvision.models", "torchvision")
    available = models.list_models(module=models)  # classification only: detection and the like are in modules below
    if name not in available:
        raise ModelError(f"torchvision has no classification model {name}.{nearest(name, available)}")
    published = models.get_model_weights(name).DEFAULT
    module, note = create(models, name, overrides)
    categories = published.meta["categories"]
    names = imagenet_names() if len(categories) == CLASSES else {"class_names": categories}
    known = {"name": name, **_preprocessing(published.transforms()), **names}
    return build(module.eval(), known, overrides, note)


def _create(models: Any, name: str, overrides: Overrides) -> tuple[nn.Module, str]:
    """The model with its weights, and a note on how they were read."""
    weights, class_names = overrides.get("weights"), overrides.get("class_names")
    if weights is not None:
        classes = {} if class_names is None else {"num_classes": len(class_names)}
        module = _untrained(models, name, **classes)
        return module, load_weights(module, weights)
    try:
        return models.get_model(name, weights="DEFAULT", progress=False), ""
    except (URLError, OSError, RuntimeError) as error:
        raise ModelError(
            f"torchvision could not get the weights of {name} ({quoted(error)}); check the network, or give a local "
            "file with weights=FILE (on the command line: --weights)."
        ) from error


def _untrained(models: Any, name: str, **classes: int) -> nn.Module:
    module: nn.Module = models.get_model(name, weights=None, **classes)
    if hasattr(module, "transform_input"):
        module.transform_input = True  # type: ignore[assignment]  # as for the published weights of Inception and GoogLeNet
    return module


def _preprocessing(transforms: Any) -> dict[str, Any]:
    return {
        "size": _one_or_pair(transforms.crop_size),
        "resize": _one_or_pair(transforms.resize_size),
        "interpolation": transforms.interpolation.value,
        "mean": transforms.mean,
        "std": transforms.std,
    }


def _one_or_pair(size: list[int]) -> int | tuple[int, int]:
    return size[0] if len(size) == 1 else (size[0], size[1])


SOURCE = Source(
    form="torchvision:NAME",
    what="a classification model of torchvision; torchvision:NAME@FILE takes its weights from a file",
    brings="weights, preprocessing, ImageNet class names",
    extra="torchvision",
    takes_weights=True,
    pattern="torchvision:(.+)",
    load=load,
    skeleton=skeleton,
)
