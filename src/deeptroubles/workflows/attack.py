"""Run one attack of the catalogue, and judge its result on the pictures as a file would hold them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier, unit_pixels
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.fooling_ascent import FoolingImages
from deeptroubles.methods.attacks.patch import PatchResult
from deeptroubles.methods.attacks.shared.sticker import sticker_curve
from deeptroubles.methods.attacks.target_matrix import TargetMatrix
from deeptroubles.methods.catalogue import Method
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.subject import logits_of

Pixels = NDArray[np.uint8]
MOST = 12
"""Fooling images that are shown."""
DEGREES = tuple(range(-60, 61, 15))
SCALES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A picture, and what the classifier says of it when it is read from a PNG file.

    Attributes:
        title: What the picture is.
        png: The file.
        named: The predicted class; '' for a picture that is not an input.
        probability: Its probability.
        goal: The probability of the class that was to be reached or left.
        note: What else to say of it.
    """

    title: str
    png: bytes
    named: str = ""
    probability: float = 0.0
    goal: float = 0.0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """The result of an attack.

    Attributes:
        claim: In one sentence.
        pictures: What to show, in rows of `columns`.
        columns: Pictures in a row.
        curves: By what is varied (`degrees`, `scale`): its values and the probability of the class.
    """

    claim: str
    pictures: Sequence[Scored]
    columns: int
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)


def attack_images(
    classifier: Classifier,
    method: Method,
    images: Tensor,
    labels: Sequence[int],
    *,
    target: int | None = None,
    classes: Sequence[int] = (),
    box: tuple[int, int, int, int] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Attacked:
    """Attack images with any method of the family `attacks`.

    Args:
        classifier: The classifier.
        method: The attack. What it takes is read from its signature.
        images: N x C x H x W in [0, 1]. Attacks that find one image per call are shown the first.
        labels: The class of each image that is to be left, or that occlusion is to raise.
        target: The class to reach. Default: any other.
        classes: The classes of attacks on several (`target_matrix`, `fooling_ascent`). Default: the target.
        box: Where a masked attack may paint: top, left, bottom, right.
        settings: Further parameters of the method.

    Raises:
        UsageError: The method needs a target, a box or an image that is missing, or a setting is wrong.
    """
    chosen = list(classes) or [target if target is not None else 0]
    given = dict(settings or {}) | _arguments(classifier, method, images, labels, target, chosen, box)
    result = method.function(classifier, **given)
    if isinstance(result, FoolingImages):
        return _fooled(classifier, result)
    if isinstance(result, TargetMatrix):
        return _matrix(classifier, images, result, chosen)
    if isinstance(result, PatchResult):
        return _patch(classifier, images, result, given["target"])
    return _pairs(classifier, images, result, labels, target)


def _arguments(
    classifier: Classifier,
    method: Method,
    images: Tensor,
    labels: Sequence[int],
    target: int | None,
    classes: Sequence[int],
    box: tuple[int, int, int, int] | None,
) -> dict[str, Any]:
    """What a method takes of what there is, by the names of its parameters."""
    takes = method.parameters
    needs_target = "target" in takes and takes["target"].default is not None
    for missing, what in (
        ("images" in takes and not len(images), "attacks an image; choose one"),
        (needs_target and target is None, "reaches a class; choose a target"),
        ("mask" in takes and box is None, "paints inside of a box; draw one"),
    ):
        if missing:
            raise UsageError(f"{method.name} {what}.")
    every = torch.tensor(labels)
    have = {
        "images": images,
        "labels": every,
        "targets": target,
        "target": every if target is None else target,
        "classes": classes,
        "mask": None if box is None else _mask(classifier, box),
    }
    return {name: value for name, value in have.items() if name in takes}


def _mask(classifier: Classifier, box: tuple[int, int, int, int]) -> Tensor:
    mask = torch.zeros(classifier.size)
    mask[box[0] : box[2], box[1] : box[3]] = 1
    return mask


def png_of(pixels: Tensor) -> bytes:
    """An image (C x H x W in [0, 1]) as a PNG file."""
    array = to_bytes(pixels).cpu().numpy().transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()


def read_back(classifier: Classifier, files: Sequence[bytes]) -> Tensor:
    """The probabilities (N x K) of images as they are in their files."""
    arrays = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    pixels = np.stack([array if array.ndim == 3 else array[..., None] for array in arrays])
    return logits_of(classifier, unit_pixels(pixels).to(classifier.mean)).softmax(1).cpu()


def _scored(classifier: Classifier, images: Tensor, titles: Sequence[str], goals: Sequence[int]) -> list[Scored]:
    files = [png_of(image) for image in images]
    return [
        Scored(
            title=title,
            png=file,
            named=classifier.class_names[int(shares.argmax())],
            probability=float(shares.max()),
            goal=float(shares[goal]),
        )
        for title, file, shares, goal in zip(titles, files, read_back(classifier, files), goals, strict=True)
    ]


def _pairs(classifier: Classifier, clean: Tensor, result: Any, labels: Sequence[int], target: int | None) -> Attacked:
    """An attack that changes images: before, after and the difference of each."""
    found = result.images.to(clean)
    goals = [label if target is None else target for label in labels]
    before = _scored(classifier, clean, ["before"] * len(clean), goals)
    after = _scored(classifier, found, ["after"] * len(clean), goals)
    pictures = []
    for i in range(len(clean)):
        difference = found[i] - clean[i]
        largest = float(difference.abs().max())
        shown = (0.5 + difference / (2 * largest)).clamp(0, 1) if largest > 0 else torch.full_like(difference, 0.5)
        changed = float((difference.abs().amax(0) > 0.5 / 255).double().mean())
        note = f"{percent(changed)} of the pixels changed, by {round(largest * 255)}/255 at most"
        amplified = f"difference, amplified {1 / (2 * largest):.0f} times" if largest > 0 else "no difference"
        pictures += [before[i], after[i], Scored(title=amplified, png=png_of(shown), note=note)]
    moved = sum(a.named != b.named for a, b in zip(before, after, strict=True))
    queries = getattr(result, "queries", None)
    effort = f" after {int(queries.sum()):,} looks" if queries is not None else ""
    if len(clean) > 1:
        claim = f"The prediction of {moved} of {len(clean)} images changed{effort}."
    elif moved:
        claim = (
            f"Predicted as {after[0].named} ({percent(after[0].probability)}) instead of {before[0].named} "
            f"({percent(before[0].probability)}){effort}; read back from the PNG file."
        )
    else:
        name = classifier.class_names[goals[0]]
        claim = (
            f"The prediction is still {after[0].named}{effort}; the probability of {name} went from "
            f"{percent(before[0].goal)} to {percent(after[0].goal)}."
        )
    return Attacked(claim=claim, pictures=pictures, columns=3)


def _fooled(classifier: Classifier, result: FoolingImages) -> Attacked:
    best = result.confidence.argsort(descending=True)[:MOST]
    classes = [int(c) for c in result.classes[best]]
    titles = [f"made for {classifier.class_names[c]}" for c in classes]
    pictures = _scored(classifier, result.images[best], titles, classes)
    sure = sum(picture.probability > 0.9 for picture in pictures)
    claim = (
        f"{sure} of the {len(pictures)} best meaningless images are predicted with more than 90% "
        f"({result.queries:,} looks)."
    )
    return Attacked(claim=claim, pictures=pictures, columns=4)


def _matrix(classifier: Classifier, clean: Tensor, result: TargetMatrix, classes: Sequence[int]) -> Attacked:
    names = [classifier.class_names[c] for c in classes]
    pictures: list[Scored] = []
    for i in range(len(clean)):
        titles = [f"to {name}" for name in names]
        pictures += _scored(classifier, result.images[i].to(clean), titles, classes)
    reached, pairs = int(result.success.sum()), result.success.numel()
    distance = result.distance[result.success & (result.distance > 0)]
    median = f", median distance {float(distance.median()):.2g} (L2)" if len(distance) else ""
    return Attacked(
        claim=f"{reached} of {pairs} pairs reach their class{median}.", pictures=pictures, columns=len(classes)
    )


def _patch(classifier: Classifier, images: Tensor, result: PatchResult, target: int) -> Attacked:
    name = classifier.class_names[target]
    sticker = result.patch * result.mask + (1 - result.mask)
    curves = {
        "degrees": (DEGREES, sticker_curve(classifier, images, result.patch, result.mask, target, degrees=DEGREES)),
        "scale": (SCALES, sticker_curve(classifier, images, result.patch, result.mask, target, scales=SCALES)),
    }
    claim = (
        f"With the patch {percent(result.success.value)} of new views are predicted as {name}, with random content in "
        f"its place {percent(result.control.value)}, without it {percent(result.clean.value)}."
    )
    return Attacked(
        claim=claim, pictures=[Scored(title=f"the patch for {name}", png=png_of(sticker))], columns=1, curves=curves
    )
