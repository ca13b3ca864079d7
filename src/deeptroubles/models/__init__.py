"""Where a classifier can come from: one file per place.

Each file beside this one declares a `SOURCE`; `load_classifier` takes the first whose pattern fits. To support another
place, write a file with a function `load(name, overrides) -> Classifier` and its `SOURCE`. `shared/` holds helpers.
"""

from __future__ import annotations

import importlib
import re
from os import PathLike
from pathlib import Path
from typing import Unpack

import torch
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, UsageError, nearest
from deeptroubles.listing import module_name, modules
from deeptroubles.models.exported import HOW_TO_EXPORT
from deeptroubles.models.shared.class_names import load_class_names
from deeptroubles.models.shared.overrides import Overrides
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.weights import WEIGHTS_ONLY, how_to_build, load_weights

__all__ = [
    "SOURCES",
    "Overrides",
    "Source",
    "is_module",
    "load_class_names",
    "load_classifier",
    "load_module",
    "load_skeleton",
    "runs_code",
]


def _found() -> tuple[Source, ...]:
    """The sources of all files, by form; general ones last, those that run no code first."""
    found: list[Source] = [
        importlib.import_module(module_name(file)).SOURCE for _, file in modules(Path(__file__).parent)
    ]
    return tuple(sorted(found, key=lambda source: (source.general, source.runs_code, source.form.lower())))


SOURCES = _found()
_WITH_FILE = re.compile(r"([\w.]+:[\w./-]+)@(.+\.(?:pt|pth|th|tar|bin|ckpt|safetensors))", re.IGNORECASE)
"""A network and the file of its weights: `my.models:build@weights.safetensors`, `timm:resnet18@last.ckpt`."""


def load_classifier(source: str, **overrides: Unpack[Overrides]) -> Classifier:
    """Load a trained classifier, with its preprocessing and class names where the source knows them.

    Args:
        source: Where it comes from, such as `efficientnet-lite0` or `timm:resnet50`; `SOURCES` lists the forms. A
            source that takes weights may name their file: `my.models:build@weights.safetensors`.
        **overrides: What to use instead of what the source knows: `size`, `mean`, `std`, `class_names`, `channels`,
            `resize`, `interpolation`, `output`, `outputs` and `name` as for `Classifier`; for some sources also
            `weights`, a local file. `class_names` may also be a file, with a name on each line. None is the same as not
            given.

    Returns:
        The classifier, on the CPU unless a function of yours puts it elsewhere.

    Raises:
        UsageError: The source has none of the known forms.
        ModelError: The model cannot be loaded or does not behave like a classifier; the message says what to do.
    """
    unknown = sorted(overrides.keys() - Overrides.__annotations__.keys())
    if unknown:
        raise TypeError(f"load_classifier() got an unexpected keyword argument {unknown[0]!r}.")
    given: Overrides = {k: v for k, v in overrides.items() if v is not None}  # type: ignore[assignment]
    row, name = _find(source)
    if (file := _weights_file(source)) is not None:
        if "weights" in given:
            raise UsageError(f"{source} names its weights already; leave out weights={given['weights']}.")
        given["weights"] = file
    if "weights" in given and not row.takes_weights:
        takers = " or ".join(source.form for source in SOURCES if source.takes_weights)
        raise UsageError(f"{row.form} brings its own weights; a weights file goes with {takers}.")
    names = given.get("class_names")
    if isinstance(names, (str, PathLike)):
        given["class_names"] = load_class_names(names)
    with torch.random.fork_rng(devices=[]):  # building a module draws its first, soon overwritten weights
        classifier = row.load(name, given)
    classifier.source = source
    return classifier


def load_skeleton(source: str, **overrides: Unpack[Overrides]) -> Classifier:
    """Build the network of a source, to fill in other weights; its own are not loaded where the source can do without.

    Raises:
        UsageError, ModelError: As `load_classifier` does.
    """
    row, name = _find(source)
    return (row.skeleton or row.load)(name, overrides)


def load_module(source: str) -> nn.Module:
    """Load a network that need not be a classifier, such as one that segments images.

    Args:
        source: A program (`.pt2`, `.ts`) or a function of your own (`package.module:function`).

    Raises:
        UsageError: The source has none of these forms.
        ModelError: The network cannot be loaded.
    """
    row, name = _find(source)
    if row.module is None:
        takers = [each.form for each in SOURCES if each.module]
        raise UsageError(f"{row.form} gives classifiers only; give {', '.join(takers[:-1])} or {takers[-1]}.")
    module = row.module(name)
    if (file := _weights_file(source)) is not None:
        load_weights(module, file)
    return module


def is_module(source: str) -> bool:
    """Whether `load_module` can take this: it has one of its forms and is not a folder."""
    forms = [row.pattern for row in SOURCES if row.module]
    return any(re.fullmatch(form, _network(source)) for form in forms) and not Path(source).is_dir()


def runs_code(source: str) -> bool:
    """Whether loading a source runs code of its own, such as a function of the user. Raises UsageError as loading."""
    return _find(source)[0].runs_code


def _network(source: str) -> str:
    """The source without the weights file that may follow it."""
    with_file = _WITH_FILE.fullmatch(source)
    return with_file[1] if with_file else source


def _weights_file(source: str) -> str | None:
    with_file = _WITH_FILE.fullmatch(source)
    return with_file[2] if with_file else None


def _find(source: str) -> tuple[Source, str]:
    network = _network(source)
    for row in SOURCES:
        if (match := re.fullmatch(row.pattern, network)) and row.fits(match[1]):
            return row, match[1]
    if re.search(r"\.(h5|hdf5|tflite|pb)$", source, re.IGNORECASE):
        raise ModelError(f"{source}: this format is not supported yet. {HOW_TO_EXPORT}")
    if path := re.match(r"(.*[/\\])([^/\\@]+)\.py:(\w+)(@|$)", source):
        raise UsageError(
            f"{source} begins with a path. Change to the folder {path[1]}, and give the module as Python imports it: "
            f"{path[2]}:{path[3]}."
        )
    if re.search(WEIGHTS_ONLY, source, re.IGNORECASE):
        raise ModelError(f"{source} holds weights alone. {how_to_build(source)}")
    forms = [row.form for row in SOURCES]
    raise UsageError(
        f"{source!r} is not a model that can be loaded; give {', '.join(forms[:-1])} or {forms[-1]}."
        f"{nearest(source, [form for form in forms if form.islower()])}"
    )
