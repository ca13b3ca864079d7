"""What `reliance.shortcut` has done: who takes part, and what the network answers to the swaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES
from deeptroubles.methods.reliance.donor_swap import Donors, choose_donors, donor_swap
from deeptroubles.methods.segmentation.find_objects import find_objects
from deeptroubles.methods.transforms.swap import CHANNELS, WINDOWS, Scenery, swap
from deeptroubles.subject import Subject, logits_of

MOST = 240
"""No more images than this get something from donors."""
OTHERS = 3
"""From how many other classes each image gets a donor."""
LOCATING = 32
"""How many swaps are repeated window by window, and how many are shown to prove the cue."""
CUES = tuple(name for name in CHANNELS if name != "object")
"""What is no shape of an object; the object itself is swapped for comparison."""
PARTS = ("background", "frame", "high frequencies", "colour")
"""What lies outside of the object, as a whole and in part."""


def draw_rows(rows: NDArray[np.int64], targets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most MOST rows, of as many classes as leaves each of them MIN_IMAGES images, drawn at random."""
    if len(rows) <= MOST:
        return rows
    random = np.random.default_rng(seed)
    rows = random.permutation(rows)
    classes, counts = np.unique(targets[rows], return_counts=True)
    largest = classes[np.argsort(-counts, kind="stable")][: MOST // (2 * MIN_IMAGES)]
    rows = rows[np.isin(targets[rows], largest)]
    turns = pd.Series(targets[rows]).groupby(targets[rows]).cumcount().to_numpy()  # classes take turns
    chosen: NDArray[np.int64] = rows[np.argsort(turns, kind="stable")][:MOST]
    return np.sort(chosen)


def rows_of_large_classes(rows: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of classes with MIN_IMAGES of them; none when there is only one such class."""
    classes, counts = np.unique(targets[rows], return_counts=True)
    large = classes[counts >= MIN_IMAGES]
    kept: NDArray[np.int64] = rows[np.isin(targets[rows], large)] if len(large) > 1 else rows[:0]
    return kept


def pairs_for(
    targets: NDArray[np.int64], donors: Donors, wanted: int, movement: NDArray[np.floating] | None = None
) -> NDArray[np.int64]:
    """Recipients, their donors of the wanted class, and donors of their own class: P x 3.

    Those with the largest movement (to see where the cue is), or else spread over all (to say how far it moves).
    """
    rows, which = np.nonzero(targets[donors.others] == wanted)
    pairs = np.stack([rows, donors.others[rows, which], donors.same[rows, 0]], axis=1)
    count = min(LOCATING, len(pairs))
    chosen = np.unique(np.linspace(0, len(pairs) - 1, count).astype(int))
    if movement is not None:
        chosen = np.sort(np.argsort(-movement[rows, which], kind="stable")[:count])
    taken: NDArray[np.int64] = pairs[chosen]
    return taken


def scenery_of(subject: Subject, rows: Sequence[int], *, given: bool) -> Scenery:
    """Images taken apart, by their masks where these are given, and by what is found otherwise."""
    pixels = subject.pixels(rows)
    return Scenery(pixels, subject.masks(rows) if given else find_objects(pixels).masks)


def find(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    """Whether the object of each image is found without a mask."""
    return {"found": find_objects(subject.pixels(indices)).found.cpu().numpy()}


def swaps(
    subject: Subject, indices: Sequence[int], batch_size: int, rows: list[int], *, given: bool, seed: int
) -> dict[str, NDArray[Any]]:
    """The moves of some recipients; `indices` are positions in `rows`, the images that take part."""
    donors = choose_donors(subject.targets[rows], OTHERS, seed)
    here = [donors.recipients[indices], donors.same[indices], donors.others[indices]]
    involved = np.unique(np.concatenate([part.ravel() for part in here]))
    scenery = scenery_of(subject, np.array(rows)[involved].tolist(), given=given)
    local = Donors(*(np.searchsorted(involved, part) for part in here))
    targets = torch.from_numpy(subject.targets[rows][involved]).to(subject.classifier.device)
    moves = donor_swap(subject.classifier, scenery, targets, local, [*CUES, "object"], batch_size)
    return {name: np.round(value, 6) for name, value in vars(moves).items()}


def rises_by_part(
    subject: Subject, indices: Sequence[int], batch_size: int, pairs: list[list[int]], *, given: bool, wanted: int
) -> dict[str, NDArray[Any]]:
    """By how much each window and part of the donor's background raises the wanted class, M x parts."""
    donors = {to: (giver, same) for to, giver, same in pairs}
    rows = [(i, *donors[i]) for i in indices]
    involved, where = np.unique(np.array(rows), return_inverse=True)
    scenery = scenery_of(subject, involved.tolist(), given=given)
    to, giver, same = torch.from_numpy(where.reshape(-1, 3)).to(subject.classifier.device).unbind(1)
    rises = []
    for name in [*WINDOWS, *PARTS]:
        shown = torch.cat([swap(scenery, name, to, giver), swap(scenery, name, to, same)])
        after = logits_of(subject.classifier, shown, batch_size).softmax(1)[:, wanted]
        rises.append(after[: len(to)] - after[len(to) :])
    return {"rise": np.round(torch.stack(rises, dim=1).cpu().numpy(), 6)}
