"""The swaps of `reliance.shortcut`: which images take part, and how far swaps move the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import MIN_IMAGES
from deeptroubles.engine import Arrays
from deeptroubles.methods.reliance.donor_swap import Donors, donor_swap
from deeptroubles.methods.segmentation.find_objects import find_objects
from deeptroubles.methods.transforms.shared.neutralize import neutralize
from deeptroubles.methods.transforms.shared.scenery import WINDOWS, Scenery
from deeptroubles.methods.transforms.swap import CHANNELS, swap
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.subject import Subject, logits_of

MAX_IMAGES = 240
"""Recipients of swaps."""
OTHERS = 3
"""Donors of each image, each from another class."""
LOCATING = 32
"""Swaps that are repeated window by window, and that confirm the cue."""
TESTED = tuple(name for name in CHANNELS if name != "object")
"""Channels of evidence other than the object's shape; the object itself is swapped for comparison."""
PARTS = ("background", "frame", "high frequencies", "color")
"""Evidence outside the object, as a whole and in part."""


def rows_of_large_classes(rows: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of classes with at least MIN_IMAGES rows; none when there is only one such class."""
    classes, counts = np.unique(targets[rows], return_counts=True)
    large = classes[counts >= MIN_IMAGES]
    kept: NDArray[np.int64] = rows[np.isin(targets[rows], large)] if len(large) > 1 else rows[:0]
    return kept


def pairs_for(
    targets: NDArray[np.int64], donors: Donors, wanted: int, movement: NDArray[np.floating] | None = None
) -> NDArray[np.int64]:
    """Recipients, their donors of the wanted class, and donors of their own class: P x 3.

    Those with the largest movement (to locate the cue), or else at equal distances (to measure its effect).
    """
    rows, which = np.nonzero(targets[donors.others] == wanted)
    pairs = np.stack([rows, donors.others[rows, which], donors.same[rows, 0]], axis=1)
    chosen = evenly_spaced(len(pairs), LOCATING)
    if movement is not None:
        chosen = np.sort(np.argsort(-movement[rows, which], kind="stable")[:LOCATING])
    taken: NDArray[np.int64] = pairs[chosen]
    return taken


def scenery_of(subject: Subject, rows: Sequence[int], *, given: bool) -> Scenery:
    """Images divided into channels, by their masks if given, otherwise by objects found without masks."""
    pixels = subject.pixels(rows)
    return Scenery(pixels, subject.masks(rows) if given else find_objects(pixels).masks)


def find(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Whether the object of each image is found without a mask."""
    return {"found": find_objects(subject.pixels(indices)).found.cpu().numpy()}


Swap = tuple[int, list[int], list[int]]
"""A recipient, its donors of the same class, and its donors of other classes: rows of images."""


def swaps_of(donors: Donors, rows: NDArray[np.int64]) -> list[Swap]:
    """The swaps of all recipients; `donors` holds positions in `rows`."""
    return [
        (int(rows[to]), rows[same].tolist(), rows[others].tolist())
        for to, same, others in zip(donors.recipients, donors.same, donors.others, strict=True)
    ]


def swap_all(subject: Subject, swaps: Sequence[Swap], batch_size: int, *, given: bool) -> Arrays:
    """The moves of some recipients under the swap of every channel."""
    parts = [np.array(part) for part in zip(*swaps, strict=True)]
    involved = np.unique(np.concatenate([part.ravel() for part in parts]))
    scenery = scenery_of(subject, involved.tolist(), given=given)
    local = Donors(*(np.searchsorted(involved, part) for part in parts))
    targets = torch.from_numpy(subject.targets[involved]).to(subject.classifier.device)
    moves = donor_swap(subject.classifier, scenery, targets, local, [*TESTED, "object"], batch_size)
    return {name: np.round(value, 6) for name, value in vars(moves).items()}


def rises_by_part(
    subject: Subject, pairs: Sequence[Sequence[int]], batch_size: int, *, given: bool, wanted: int
) -> Arrays:
    """How much each window and part of the donor's background raises the wanted class, pairs x parts.

    Each of the `pairs` is a recipient, its donor of the wanted class, and a donor of its own class.
    """
    involved, where = np.unique(np.array(pairs), return_inverse=True)
    scenery = scenery_of(subject, involved.tolist(), given=given)
    to, giver, same = torch.from_numpy(where.reshape(-1, 3)).to(subject.classifier.device).unbind(1)
    rises = []
    for name in [*WINDOWS, *PARTS]:
        shown = torch.cat([swap(scenery, name, to, giver), swap(scenery, name, to, same)])
        after = logits_of(subject.classifier, shown, batch_size).softmax(1)[:, wanted]
        rises.append(after[: len(to)] - after[len(to) :])
    return {"rise": np.round(torch.stack(rises, dim=1).cpu().numpy(), 6)}


@dataclass(frozen=True)
class Confirmation:
    """Images on which a cue is confirmed, divided into channels, and their roles.

    Attributes:
        scenery: The images.
        name: The class associated with the cue.
        channel: What is swapped: a key of CHANNELS or WINDOWS.
        recipients: P, images of other classes.
        givers: P, images of the class.
        same: P, images of each recipient's own class.
        own: L, images of the class from which the cue is removed.
    """

    scenery: Scenery
    name: str
    channel: str
    recipients: Tensor
    givers: Tensor
    same: Tensor
    own: Tensor


def confirmation_of(
    subject: Subject, pairs: Sequence[Sequence[int]], own: Sequence[int], *, channel: str, wanted: int, given: bool
) -> Confirmation:
    """Divide the images of some pairs, and images of the wanted class, into channels."""
    columns = np.array(pairs).T
    involved, where = np.unique(np.concatenate([columns.ravel(), own]), return_inverse=True)
    at = torch.from_numpy(where).to(subject.classifier.device)
    recipients, givers, same = at[: columns.size].view(3, -1)
    name = subject.classifier.class_names[wanted]
    scenery = scenery_of(subject, involved.tolist(), given=given)
    return Confirmation(scenery, name, channel, recipients, givers, same, at[columns.size :])


def confirm(
    subject: Subject, batch_size: int, pairs: list[list[int]], own: list[int], *, channel: str, wanted: int, given: bool
) -> Arrays:
    """Insert the cue into other images, and remove it from its own: probabilities of the wanted class.

    `inserted` is P x 3: unchanged, with the cue, with the same from an image of the recipient's own class; `removed` is
    L x 2: unchanged, without the cue.
    """
    found = confirmation_of(subject, pairs, own, channel=channel, wanted=wanted, given=given)
    images = found.scenery.images

    def probability(pixels: Tensor) -> NDArray[np.float64]:
        shown = logits_of(subject.classifier, pixels, batch_size).softmax(1)[:, wanted]
        return shown.cpu().numpy().astype(np.float64).round(6)

    with_cue, with_same = (swap(found.scenery, channel, found.recipients, d) for d in (found.givers, found.same))
    without = neutralize(found.scenery, channel, found.own)
    inserted = np.stack([probability(p) for p in (images[found.recipients], with_cue, with_same)], axis=1)
    return {"inserted": inserted, "removed": np.stack([probability(p) for p in (images[found.own], without)], axis=1)}
