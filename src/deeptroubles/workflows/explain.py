"""Explain one picture, or find out which method explains a classifier best: what `deeptroubles explain` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ImagesError, ModelError, UsageError
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import find_class
from deeptroubles.methods.attribution.shared.infidelity import infidelity
from deeptroubles.methods.attribution.shared.quality import faithfulness
from deeptroubles.methods.attribution.shared.road import road
from deeptroubles.methods.catalogue import ATTRIBUTION, Method, find_method
from deeptroubles.progress import track
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import logits_of, readable_pixels

MOST_LIKELY = 5
BLOCK = 8
"""Images of a comparison that are explained at a time."""


@dataclass(frozen=True)
class Explanation:
    """The maps of some methods for one picture.

    Attributes:
        picture: The picture as the classifier sees it, H x W x 3, 8 bit.
        maps: Each method's map, raw and signed, h x w.
        impossible: Why a method cannot explain this classifier.
        target: Name of the explained class.
        most_likely: The most likely classes with their probabilities.
    """

    picture: NDArray[np.uint8]
    maps: dict[str, NDArray[np.float32]]
    impossible: dict[str, str]
    target: str
    most_likely: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class MethodComparison:
    """How faithful a method's maps are to a classifier, over some images, with intervals over images.

    Attributes:
        method: Its name.
        deletion: Mean area under the deletion curves; lower is better.
        insertion: Mean area under the insertion curves; higher is better.
        road: Mean probability with the least relevant pixels removed minus that with the most relevant ones removed
            (ROAD); higher is better, 0 is a random order.
        infidelity: Mean squared error of the map as a prediction of how much the logit falls when squares are covered,
            as a share of the mean squared fall; lower is better, at most 1.
        seconds: Time for one map.
        impossible: Why it cannot explain this classifier; '' when it can.
    """

    method: str
    deletion: Interval | None = None
    insertion: Interval | None = None
    road: Interval | None = None
    infidelity: Interval | None = None
    seconds: float = 0.0
    impossible: str = ""


def explain_picture(
    classifier: Classifier, picture: Image.Image, methods: Sequence[str], target: str | None = None, **settings: Any
) -> Explanation:
    """Explain one picture.

    Args:
        classifier: The classifier.
        picture: Any picture.
        methods: Names of attribution methods.
        target: Class name or index. Default: the most likely class.
        settings: Passed to the methods that have such a setting.

    Raises:
        UsageError: There is no such method or class, or no method has such a setting.
        ModelError: None of the methods can explain this classifier.
    """
    chosen = {name: find_method(name, ATTRIBUTION) for name in methods}
    takes = {name: settings.keys() & method.parameters.keys() for name, method in chosen.items()}
    unknown = settings.keys() - set().union(*takes.values())
    if unknown:
        raise UsageError(f"{' and '.join(methods)} has no {' or '.join(sorted(unknown))}.")
    pixels = classifier.prepare(picture)[None].to(classifier.device)
    probabilities = logits_of(classifier, pixels)[0].softmax(0)
    which = int(probabilities.argmax()) if target is None else find_class(classifier, target)
    maps, impossible = {}, {}
    for method in track(methods, "Computing maps"):
        try:
            given = {name: settings[name] for name in takes[method]}
            maps[method] = chosen[method].function(classifier, pixels, which, **given)[0].float().cpu().numpy()
        except ModelError as error:
            impossible[method] = str(error)
    if not maps:
        raise ModelError(next(iter(impossible.values())))
    rgb = (pixels[0].cpu().numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
    top = probabilities.topk(min(MOST_LIKELY, classifier.classes))
    return Explanation(
        picture=np.repeat(rgb, 3, axis=2) if rgb.shape[2] == 1 else rgb[..., :3],
        maps=maps,
        impossible=impossible,
        target=classifier.class_names[which],
        most_likely=tuple((classifier.class_names[i], float(p)) for p, i in zip(*top, strict=True)),
    )


def compare_methods(
    classifier: Classifier, images: ImageSet, methods: Sequence[str], batch_size: int = 32
) -> list[MethodComparison]:
    """Rank methods by the faithfulness of their maps for the most likely class of each image, most faithful first.

    The order is by insertion area minus deletion area. Images that cannot be read are left out.

    Raises:
        UsageError: There is no such method.
        ImagesError: No image can be read.
    """
    pixels = readable_pixels(classifier, images, range(len(images)))[0]
    if not len(pixels):
        raise ImagesError("None of the images could be read.")
    targets = logits_of(classifier, pixels, batch_size).argmax(1)
    found = [
        _compare(classifier, pixels, targets, find_method(name, ATTRIBUTION), batch_size)
        for name in track(methods, "Comparing methods")
    ]
    return sorted(found, key=lambda m: m.deletion.value - m.insertion.value if m.deletion and m.insertion else 2.0)


def _compare(
    classifier: Classifier, pixels: torch.Tensor, targets: torch.Tensor, method: Method, batch_size: int
) -> MethodComparison:
    deletion, insertion, gaps, errors, seconds = [], [], [], [], 0.0
    for part, wanted in zip(torch.split(pixels, BLOCK), torch.split(targets, BLOCK), strict=True):
        started = time.perf_counter()
        try:
            maps = method.function(classifier, part, wanted)
        except ModelError as error:
            return MethodComparison(method.name, impossible=str(error))
        seconds += time.perf_counter() - started
        curves = faithfulness(classifier, part, maps, wanted, batch_size=batch_size)
        deletion.append(curves.deletion_area)
        insertion.append(curves.insertion_area)
        gaps.append(road(classifier, part, maps, wanted, batch_size=batch_size).gap)
        errors.append(infidelity(classifier, part, maps, wanted, batch_size=batch_size).share)
    shares = [mean_share(torch.cat(parts).cpu().numpy()) for parts in (deletion, insertion, errors)]
    gap = mean_difference(torch.cat(gaps).cpu().numpy())
    return MethodComparison(method.name, shares[0], shares[1], gap, shares[2], seconds / len(pixels))
