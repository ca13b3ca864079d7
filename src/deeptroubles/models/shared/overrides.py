"""What a person may say about a model, and how it is joined with what the source of the model knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

from torch import nn

from deeptroubles.classifier import Classifier, Interpolation
from deeptroubles.errors import ModelError
from deeptroubles.outputs import Outputs


class Overrides(TypedDict, total=False):
    """What wins over what the source of a model knows; see `Classifier` for the meaning of each."""

    size: int | tuple[int, int] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    class_names: Sequence[str] | None
    channels: int | None
    resize: int | tuple[int, int] | None
    interpolation: Interpolation | None
    output: int | str | None
    outputs: Outputs | None
    weights: str | PathLike[str] | None
    name: str | None


def without_weights(overrides: Overrides) -> Overrides:
    """What a person said about a model beside where its weights are."""
    return {key: value for key, value in overrides.items() if key != "weights"}  # type: ignore[return-value]


def build(module: nn.Module, known: Mapping[str, Any], overrides: Overrides, note: str = "") -> Classifier:
    """Make a classifier of a module, of what its source knows and of what was given by hand, which wins.

    `note` is what a reader should know about how the weights were read.
    """
    given = without_weights(overrides)
    settings = {**known, **given}
    if "class_names" in given:
        settings["class_aliases"] = None  # those were for the names that are now replaced
    if "size" in given:
        settings["resize"] = given.get("resize")  # a known one belongs to the known size
    if settings.get("size") is None:
        raise ModelError(
            f"Nothing says how large the input of {settings['name']} is; give its height and width in pixels with "
            "size=... (on the command line: --size)."
        )
    classifier = Classifier(module, **settings)
    classifier.notes = (note,) if note else ()
    return classifier
