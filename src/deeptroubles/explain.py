"""Explain one picture with one method: what `deeptroubles explain` shows."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError, nearest
from deeptroubles.images.labels import match_labels
from deeptroubles.methods import METHODS
from deeptroubles.subject import answer

MOST_LIKELY = 5


@dataclass(frozen=True)
class Explanation:
    """What a method says about one picture.

    Attributes:
        picture: The picture as the classifier sees it, H x W x 3, 8 bit.
        values: The method's map, raw and signed, h x w.
        target: Name of the class that was asked about.
        most_likely: The most likely classes with their probabilities.
    """

    picture: NDArray[np.uint8]
    values: NDArray[np.float32]
    target: str
    most_likely: tuple[tuple[str, float], ...]


def explain_picture(
    classifier: Classifier, picture: Image.Image, method: str, target: str | None = None, **settings: Any
) -> Explanation:
    """Explain one picture.

    Args:
        classifier: The classifier.
        picture: Any picture.
        method: A name of `METHODS`.
        target: Class name or index. Default: the most likely class.
        settings: Passed to the method.

    Raises:
        UsageError: There is no such method or class, or the method has no such setting.
    """
    if method not in METHODS:
        raise UsageError(f"There is no method {method!r}.{nearest(method, METHODS)} `deeptroubles methods` lists them.")
    unknown = settings.keys() - inspect.signature(METHODS[method]).parameters.keys()
    if unknown:
        raise UsageError(f"The method {method} has no {' or '.join(sorted(unknown))}.")
    pixels = classifier.prepare(picture)[None].to(classifier.device)
    probabilities = answer(classifier, pixels)[0].softmax(0)
    which = int(probabilities.argmax()) if target is None else find_class(classifier, target)
    values = METHODS[method](classifier, pixels, which, **settings)[0]
    rgb = (pixels[0].cpu().numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
    top = probabilities.topk(min(MOST_LIKELY, classifier.classes))
    return Explanation(
        picture=np.repeat(rgb, 3, axis=2) if rgb.shape[2] == 1 else rgb[..., :3],
        values=values.float().cpu().numpy(),
        target=classifier.class_names[which],
        most_likely=tuple((classifier.class_names[i], float(p)) for p, i in zip(*top, strict=True)),
    )


def find_class(classifier: Classifier, name: str) -> int:
    """The index of a class by its name, one of its other names, or its index as text."""
    match = match_labels([name], classifier.class_names, classifier.class_aliases, named=True)
    if match.targets[0] < 0:
        raise UsageError(f"The model has no class {name!r}.{nearest(name, classifier.class_names)}")
    return int(match.targets[0])
