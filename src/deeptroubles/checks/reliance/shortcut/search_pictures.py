"""The examples of the search: images that carry a candidate, and images with and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.reliance.shortcut.interventions import pairs_of, removed, shown_versions
from deeptroubles.checks.wording import percent
from deeptroubles.findings import GridItem, ImageGrid
from deeptroubles.pictures import picture
from deeptroubles.subject import Subject

if TYPE_CHECKING:
    from deeptroubles.checks.reliance.shortcut.search import Tested

SHOWN, EXAMPLES = 8, 3
LONG = 0.7
"""From this share of a side on a patch has no place along it."""


def place_of(mask: NDArray[np.bool_]) -> str:
    """Where a mask (h x w) is, in words."""
    (height, width), (rows, columns) = mask.shape, np.nonzero(mask)
    tall, wide = np.ptp(rows) + 1 >= LONG * height, np.ptp(columns) + 1 >= LONG * width
    middle = mask[height // 3 : height - height // 3, width // 3 : width - width // 3].mean()
    if tall and wide:
        return "along the border" if middle < mask.mean() / 2 else "across the image"
    vertical = "" if tall else ("top", "middle", "bottom")[min(2, int(3 * (rows.mean() + 0.5) / height))]
    horizontal = "" if wide else ("left", "center", "right")[min(2, int(3 * (columns.mean() + 0.5) / width))]
    if tall:
        return f"{horizontal}, from top to bottom" if horizontal == "center" else f"{horizontal} edge"
    if wide:
        return f"{vertical}, from left to right" if vertical == "middle" else f"{vertical} edge"
    if vertical == "middle":
        return "center" if horizontal == "center" else f"{horizontal} side"
    return vertical if horizontal == "center" else f"{vertical} {horizontal}"


def carriers(subject: Subject, tested: Tested) -> ImageGrid:
    """Images that carry the candidate; patches are cut out of them."""
    candidate, name = tested.candidate, tested.class_name
    rows, probabilities, without = zip(*tested.carriers[:SHOWN], strict=True)
    images = subject.pixels(rows).cpu()
    if candidate.is_patch:
        masks = candidate.masks_for(images)[: len(rows)]
        shown = [_cut(image, mask) for image, mask in zip(images, masks, strict=True)]
        title = f"The patch, cut out of images of {name}"
    else:
        shown, title = list(images), f"Images of {name} that show {candidate.name}"
    items = [
        GridItem(
            picture=picture(image.numpy(), title),
            caption=f"{name} {percent(probability)}",
            note="" if np.isnan(less) else f"without it {percent(less)}",
        )
        for image, probability, less in zip(shown, probabilities, without, strict=True)
    ]
    return ImageGrid(title=title, items=items)


def _cut(image: Tensor, mask: Tensor) -> Tensor:
    """The bounding box of a mask with a margin."""
    margin = max(1, min(image.shape[-2:]) // 24)
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    return image[:, top : int(rows[-1]) + 1 + margin, left : int(columns[-1]) + 1 + margin]


def insertions(subject: Subject, tested: Tested, seed: int) -> list[ImageGrid]:
    """The recipients with the largest effects: unchanged, with the candidate, with the strongest control."""
    best = np.argsort(-tested.rise, kind="stable")[:EXAMPLES]
    chosen = pairs_of(tested.item, tested.recipients)[best]
    versions = shown_versions(subject, tested.item, chosen, seed)
    whens = (
        {0: "unchanged", 1: "with it", tested.control: _control(tested)}
        if tested.control
        else {0: "unchanged", 1: "with it"}
    )
    grids = []
    for i, row in enumerate(best.tolist()):
        shown = [(when, versions[v], tested.inserted[row, v]) for v, when in whens.items()]
        items = [_item(image[i], when, tested.class_name, p) for when, image, p in shown if image is not None]
        own = subject.classifier.class_names[subject.targets[chosen[i, 0]]]
        how = "Pasted into" if tested.candidate.is_patch else f"{sentence(tested.candidate.name)} applied to"
        grids.append(ImageGrid(title=f"{how} an image of {own}", items=items, strip=True))
    return grids


def sentence(text: str) -> str:
    """The text as it begins a sentence."""
    return text[:1].upper() + text[1:]


def _control(tested: Tested) -> str:
    return tested.controls[tested.control - 2]


def removals(subject: Subject, tested: Tested) -> list[ImageGrid]:
    """The image that changes most without its patch."""
    if not len(tested.removed):
        return []
    i = int(np.argmax(tested.fall))
    image = subject.pixels([tested.candidate.rows[i]])
    mask = tested.candidate.masks_for(image)[i : i + 1].to(image.device)
    whens = ("unchanged", "without it", "without an equal area elsewhere")
    items = [
        _item(shown[0], when, tested.class_name, p)
        for shown, when, p in zip(removed(image, mask), whens, tested.removed[i], strict=True)
    ]
    return [ImageGrid(title=f"Removed from an image of {tested.class_name}", items=items, strip=True)]


def _item(image: Tensor, when: str, name: str, probability: float) -> GridItem:
    shown = picture(torch.as_tensor(image).cpu().numpy(), f"An image {when}")
    return GridItem(picture=shown, note=when, caption=f"{name} {percent(float(probability))}")
