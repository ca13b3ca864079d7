"""Which images are trained on, which choose the epoch, and which are held out; what belongs together stays together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from deeptroubles.checks.wording import plural
from deeptroubles.methods.properties.near_duplicates import duplicate_groups, joined_groups

Rows = NDArray[np.int64]
SPLIT = "split"
"""The column of images that says on which side each is."""
_NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "held_out",
    "held_out": "held_out",
    "held-out": "held_out",
}
PARTS = 5
"""One fifth is held out, and one fifth of the rest is for validation."""
MIN_SIDE = 16
"""Of images with a shorter side only those with the same pixels are duplicates."""
SIDES = 3
"""A class needs at least this many unrelated images or groups to be in all three parts."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows of images, in ascending order.

    Attributes:
        training: Seen by the network while it learns.
        validation: Not learned from; they choose the best epoch.
        held_out: Never seen.
        notes: What a reader should know, such as a class that is in one part only.
    """

    training: Rows
    validation: Rows
    held_out: Rows
    notes: tuple[str, ...]


def related(
    thumbnails: NDArray[np.uint8], digests: Sequence[str], groups: Sequence[Any] | None, *, side: int
) -> NDArray[np.int64]:
    """Which images belong together: the same pixels, near-duplicates, or the same group.

    Args:
        thumbnails: N x 32 x 32 x 3.
        digests: N hashes of the pixels.
        groups: N, such as the patient or the camera of each image; missing values are in no group. Default: none.
        side: The shorter side of the images; of small ones only those with the same pixels are duplicates.

    Returns:
        N numbers; images with the same number belong together.
    """
    known = pd.Series(list(digests)), pd.Series(list(groups) if groups is not None else [None] * len(digests))
    links = [_linked(values) for values in known]
    if side >= MIN_SIDE:
        links.append(_linked(pd.Series(duplicate_groups(thumbnails))))
    first, second = (np.concatenate(ends) for ends in zip(*links, strict=True))
    return joined_groups(first, second, len(digests))


def split(classes: NDArray[np.integer], together: NDArray[np.integer], names: Sequence[str], *, seed: int) -> Split:
    """Divide images at random, every class in proportion; images that belong together are in the same part.

    A class with fewer than three unrelated images or groups is only trained on, because nothing could test it.

    Args:
        classes: N class indices.
        together: N numbers, as `related` gives them.
        names: The name of each class.
        seed: Decides which part an image is in.
    """
    kinds = pd.Series(together).groupby(np.asarray(classes)).nunique()
    few = [k for k in range(len(names)) if kinds.get(k, 0) < SIDES]
    alone = np.isin(together, together[np.isin(classes, few)])
    free = np.flatnonzero(~alone)
    held_out = _part(free, classes, together, seed)
    rest = np.setdiff1d(free, held_out)
    validation = _part(rest, classes, together, seed)
    training = np.setdiff1d(np.arange(len(classes)), np.concatenate([held_out, validation]))
    notes = [
        f"{names[k]} has {plural(int(kinds.get(k, 0)), 'unrelated image or group', 'unrelated images or groups')}, too "
        "few to hold any out: it is learned, but not tested."
        for k in few
    ]
    return Split(training=training, validation=validation, held_out=held_out, notes=tuple(notes))


def given_split(sides: Sequence[object]) -> Split | None:
    """The split that images came with; None where it does not have all three parts."""
    named = np.array([_NAMES.get(str(side).strip().lower(), "") for side in sides])
    training, validation, held_out = (np.flatnonzero(named == part) for part in ("training", "validation", "held_out"))
    if not all(map(len, (training, validation, held_out))):
        return None
    return Split(training=training, validation=validation, held_out=held_out, notes=())


def _part(rows: Rows, classes: NDArray[np.integer], together: NDArray[np.integer], seed: int) -> Rows:
    """About one part of the rows."""
    parts = min(PARTS, len(np.unique(together[rows])))
    if parts < 2:
        return np.zeros(0, dtype=np.int64)
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        chosen = next(folds.split(rows, classes[rows], together[rows]))[1]
    return np.sort(rows[chosen])


def _linked(values: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A link from each row to the first one with the same value; missing values have none."""
    rows = np.flatnonzero(values.notna())
    first = pd.Series(rows).groupby(values.iloc[rows].astype(str).to_numpy()).transform("first")
    return rows.astype(np.int64), first.to_numpy(dtype=np.int64)
