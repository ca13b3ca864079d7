"""Explain pictures, or find out which method explains a classifier best: what `deeptroubles explain` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.classifier import Classifier, expect_classifier
from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine, LocalEngine, MakeEngine
from deeptroubles.errors import ImagesError, ModelError, UsageError
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import find_class
from deeptroubles.methods.attribution.shared.infidelity import infidelity
from deeptroubles.methods.attribution.shared.quality import faithfulness, is_constant
from deeptroubles.methods.attribution.shared.road import road
from deeptroubles.methods.catalogue import ATTRIBUTION, DEFAULT_ATTRIBUTION, Method, find_method
from deeptroubles.methods.targets import Images, as_batch
from deeptroubles.progress import track
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import Subject, logits_of

MOST_LIKELY = 5
BLOCK = 8
"""Images of a comparison that are explained at a time."""


@dataclass(frozen=True, repr=False)
class Explanation(Brief):
    """The maps of some methods for some pictures.

    Attributes:
        pictures: The pictures as the classifier sees them, N x H x W x 3, 8 bit.
        maps: Each method's maps, raw and signed, N x h x w.
        impossible: Why a method cannot explain this classifier.
        targets: Name of the explained class of each picture.
        most_likely: The most likely classes of each picture with their probabilities.
    """

    pictures: NDArray[np.uint8]
    maps: dict[str, NDArray[np.float32]]
    impossible: dict[str, str]
    targets: tuple[str, ...]
    most_likely: tuple[tuple[tuple[str, float], ...], ...]


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


def explain_pictures(
    classifier: Classifier, pictures: Images, methods: Sequence[str] = (), target: str | None = None, **settings: Any
) -> Explanation:
    """Explain some pictures.

    Args:
        classifier: The classifier.
        pictures: One picture or several: of Pillow, arrays, files or tensors.
        methods: Names of attribution methods. Default: the first of `DEFAULT_ATTRIBUTION` that works for this
            classifier and has the settings.
        target: Class name or index. Default: the most likely class of each picture.
        settings: Passed to the methods that have such a setting.

    Raises:
        UsageError: There is no such method or class, or no method has such a setting.
        ModelError: None of the methods can explain this classifier.
    """
    chosen = {name: find_method(name, ATTRIBUTION) for name in methods or DEFAULT_ATTRIBUTION}
    if not methods and settings:
        chosen = {n: m for n, m in chosen.items() if settings.keys() <= m.parameters.keys()} or chosen
    takes = {name: settings.keys() & method.parameters.keys() for name, method in chosen.items()}
    unknown = settings.keys() - set().union(*takes.values())
    if unknown:
        raise UsageError(f"{' and '.join(chosen)} has no {' or '.join(sorted(unknown))}.")
    pixels = as_batch(classifier, pictures)
    probabilities = logits_of(classifier, pixels).softmax(1)
    which = probabilities.argmax(1)
    if target is not None:
        which = torch.full_like(which, find_class(classifier, target))
    maps, impossible = dict[str, NDArray[np.float32]](), dict[str, str]()
    for method in track(tuple(chosen), "Computing maps"):
        if maps and not methods:
            break
        try:
            given = {name: settings[name] for name in takes[method]}
            maps[method] = _map(chosen[method], classifier, pixels, which, given)
        except ModelError as error:
            impossible[method] = str(error)
    if not maps:
        raise ModelError(next(iter(impossible.values())))
    rgb = (pixels.cpu().numpy().transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    names = classifier.class_names
    top = zip(*(each.tolist() for each in probabilities.topk(min(MOST_LIKELY, classifier.classes))), strict=True)
    return Explanation(
        pictures=np.repeat(rgb, 3, axis=3) if rgb.shape[3] == 1 else rgb[..., :3],
        maps=maps,
        impossible=impossible,
        targets=tuple(names[i] for i in which.tolist()),
        most_likely=tuple(tuple((names[i], p) for p, i in zip(*row, strict=True)) for row in top),
    )


def _map(
    method: Method, classifier: Classifier, pixels: torch.Tensor, targets: torch.Tensor, settings: dict[str, Any]
) -> NDArray[np.float32]:
    """The maps of some images. Raises ModelError where each is the same everywhere."""
    found = method.function(classifier, pixels, targets, **settings)
    if is_constant(found).all():
        raise ModelError(
            f"The map of {method.name} is {float(found.mean()):.3g} everywhere; use occlusion or rise instead."
        )
    values: NDArray[np.float32] = found.float().cpu().numpy()
    return values


def compare_methods(
    classifier: Classifier,
    images: ImageSet,
    methods: Sequence[str],
    batch_size: int = 32,
    *,
    engine: MakeEngine = LocalEngine,
) -> list[MethodComparison]:
    """Rank methods by the faithfulness of their maps for the most likely class of each image, most faithful first.

    The order is by insertion area minus deletion area. Images that cannot be read, and those of which a method's map is
    constant, are left out.

    Args:
        classifier: The classifier.
        images: The images.
        methods: Names of attribution methods.
        batch_size: How many images are shown at once.
        engine: Makes what does the work. Default: this process does.

    Raises:
        UsageError: There is no such method.
        ImagesError: No image can be read.
    """
    expect_classifier(classifier)
    names = [find_method(name, ATTRIBUTION).name for name in methods]
    subject, worker = Subject.unlabelled(classifier, images), engine(None, batch_size)
    found = [_compared(name, subject, worker) for name in track(names, "Comparing methods")]
    return sorted(found, key=lambda m: m.deletion.value - m.insertion.value if m.deletion and m.insertion else 2.0)


def _compared(method: str, subject: Subject, engine: Engine) -> MethodComparison:
    rows = range(len(subject.images))
    seen = engine.map(_scores, subject, rows, task=f"Explaining with {method}", chunk=BLOCK, method=method)
    readable = seen["readable"]
    if not readable.any():
        raise ImagesError("None of the images could be read.")
    if (reasons := seen["impossible"][seen["impossible"] != ""]).size:
        return MethodComparison(method, impossible=str(reasons[0]))
    scores = seen["scores"][seen["shown"]]
    if not len(scores):
        return MethodComparison(method, impossible="Its maps are constant: they show nothing.")
    deletion, insertion, gap, error = scores.T
    return MethodComparison(
        method,
        mean_share(deletion),
        mean_share(insertion),
        mean_difference(gap),
        mean_share(error),
        float(seen["seconds"].sum() / readable.sum()),
    )


def _scores(subject: Subject, rows: Sequence[int], batch_size: int, *, method: str) -> Arrays:
    """How faithful the map of each image is: deletion, insertion, ROAD's gap and infidelity's share.

    `readable`: the image was; `shown`: its map is not constant; `impossible`: why there is none; `seconds` for the map.
    """
    classifier, count = subject.classifier, len(rows)
    pixels, readable, _ = subject.readable_pixels(rows)
    found: Arrays = {
        "readable": np.isin(rows, readable),
        "shown": np.zeros(count, dtype=bool),
        "impossible": np.full(count, ""),
        "scores": np.zeros((count, 4)),
        "seconds": np.zeros(count),
    }
    if not len(readable):
        return found
    targets = logits_of(classifier, pixels, batch_size).argmax(1)
    started = time.perf_counter()
    try:
        maps = ATTRIBUTION[method].function(classifier, pixels, targets)
    except ModelError as error:
        return found | {"impossible": np.full(count, str(error))}
    found["seconds"][found["readable"]] = (time.perf_counter() - started) / len(readable)
    shown = ~is_constant(maps)
    if shown.any():
        found["shown"][np.flatnonzero(found["readable"])[shown.cpu().numpy()]] = True
        looked = (classifier, pixels[shown], maps[shown], targets[shown])
        curves = faithfulness(*looked, batch_size=batch_size)
        gap = road(*looked, batch_size=batch_size).gap
        share = infidelity(*looked, batch_size=batch_size).share
        each = [curves.deletion_area, curves.insertion_area, gap, share]
        found["scores"][found["shown"]] = torch.stack([one.double().cpu() for one in each], 1).numpy()
    return found
