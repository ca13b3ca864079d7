"""Where the objects are: their masks, or else where they are found without masks.

Found without masks, on photographs and drawings whose masks are known, as the mean intersection over union: 13 ImageNet
photographs (masks drawn by hand) 0.37 by segmentation and 0.66 by co-localization; 80 drawn scenes 0.80 and 0.35;
their objects on photographed ground 0.52 and 0.33. So segmentation is used where objects stand out, otherwise
co-localization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.reliance.shared.draw_rows import draw_rows
from deeptroubles.checks.wording import listed, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.methods.segmentation.co_localization import embedded_features, object_masks, object_scores
from deeptroubles.methods.segmentation.find_objects import find_objects
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject

FOUND = 0.6
"""Objects stand out if two segmentations agree on them in this share of the images. In cluttered photographs they do
not, and the few objects that are found lead to false alarms."""
SEARCHED = 256
"""Objects are searched in at most this many images."""
NAMED = 5
"""Classes that are named in a sentence."""
How = Literal["masks", "segmentation", "co-localization"]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Images whose objects are known or found.

    Attributes:
        subject: Has a mask for each of `rows`.
        rows: The rows of `subject` with an object.
        how: Where the masks are from.
        searched: How many images were looked at, class by class, by the class's name.
        known: In how many of them the object is known, by the class's name.
        skipped: How many classes with labelled images were not searched, because the others have more.
    """

    subject: Subject
    rows: NDArray[np.int64]
    how: How
    searched: dict[str, int]
    known: dict[str, int]
    skipped: int

    def caveats(self, least: int) -> list[str]:
        """How objects were found, which classes were measured (with at least so many objects), and which were not."""
        measured = [name for name in self.searched if self.known.get(name, 0) >= least]
        missing = [name for name in self.searched if name not in measured]
        ways = {
            "masks": "Objects are defined by the given masks.",
            "segmentation": "No masks given: objects were found by two segmentations that agree.",
            "co-localization": "No masks given: objects were found by co-localization with the embedded network, which "
            "is rough (intersection over union with 13 masks drawn by hand: 0.66).",
        }
        total, found = sum(self.searched.values()), sum(self.known.values())
        classes = plural(len(self.searched), "class", "classes")
        counted = f"{plural(found, 'image')} of {total:,} have one, and {len(measured)} of {classes} were measured."
        said = [f"{ways[self.how]} {counted}"]
        if missing:
            each = [f"{name} ({self.known.get(name, 0)} of {self.searched[name]})" for name in missing]
            fewer = f"with fewer than {least} images whose object is known"
            said.append(f"Left out, {fewer}: {listed(each, most=NAMED)}.")
        if self.skipped:
            skipped = plural(self.skipped, "class", "classes")
            said.append(f"Not searched: {skipped} with fewer images. Where masks are given, no class is left out.")
        return said


def known_objects(recording: Recording, engine: Engine, seed: int) -> Objects:
    """The labelled images with a mask; without any masks, those whose object is found among at most SEARCHED images."""
    if len(recording.masked):
        rows = np.intersect1d(recording.masked, recording.labelled)
        return _objects(recording, recording.labelled, rows, recording.subject, rows, "masks")
    searched = draw_rows(recording.labelled, recording.targets, SEARCHED, seed)
    how, masks, found = _found(recording.subject, searched, engine)
    rows = searched[found]
    located = replace(recording.subject.subset(rows), found_masks=masks[found])
    return _objects(recording, searched, rows, located, np.arange(len(rows)), how)


def find(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """The object of each image by two segmentations: whether they agree, and the mask (packed bits)."""
    found = find_objects(subject.pixels(indices))
    return {"found": found.found.cpu().numpy(), "mask": _packed(found.masks)}


def _found(
    subject: Subject, searched: NDArray[np.int64], engine: Engine
) -> tuple[How, NDArray[np.bool_], NDArray[np.bool_]]:
    """How objects were searched, their masks (N x H x W), and whether each was found (N)."""
    size = subject.classifier.size
    seen = engine.map(find, subject, searched, task="Finding objects", chunk=120)
    found = seen["found"].astype(bool)
    if found.mean() >= FOUND or subject.classifier.channels not in {1, 3}:
        return "segmentation", _unpacked(seen["mask"], size), found
    features = engine.map(_features, subject, searched, task="Computing features of photographs", chunk=32)["features"]
    items = [(int(row), np.round(s, 4).tolist()) for row, s in zip(searched, object_scores(features), strict=True)]
    seen = engine.map(_co_localized, subject, items, task="Co-localizing objects", chunk=32)
    return "co-localization", _unpacked(seen["mask"], size), seen["found"].astype(bool)


def _features(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Feature maps of the embedded network."""
    return {"features": embedded_features(subject.pixels(indices), batch_size).cpu().numpy().astype(np.float16)}


def _co_localized(subject: Subject, items: Sequence[tuple[int, list[list[float]]]], batch_size: int) -> Arrays:
    """Whether the object of each image is found by its scores, and the mask (packed bits)."""
    pixels = subject.pixels([row for row, _ in items])
    masks, found = object_masks(torch.tensor([scores for _, scores in items]).to(pixels.device), pixels.float())
    return {"found": found.cpu().numpy(), "mask": _packed(masks)}


def _packed(masks: torch.Tensor) -> NDArray[np.uint8]:
    return np.packbits(masks.flatten(1).cpu().numpy(), axis=1)


def _unpacked(bits: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.bool_]:
    flat = np.unpackbits(bits, axis=1, count=size[0] * size[1])
    return flat.reshape(-1, *size).astype(bool)


def _objects(
    recording: Recording,
    searched: NDArray[np.int64],
    known: NDArray[np.int64],
    subject: Subject,
    rows: NDArray[np.int64],
    how: How,
) -> Objects:
    names = np.array(recording.subject.classifier.class_names, dtype=object)
    counts = [
        {str(names[k]): int(n) for k, n in zip(*np.unique(recording.targets[part], return_counts=True), strict=True)}
        for part in (searched, known)
    ]
    skipped = len(np.setdiff1d(recording.targets[recording.labelled], recording.targets[searched]))
    return Objects(subject=subject, rows=rows, how=how, searched=counts[0], known=counts[1], skipped=skipped)
