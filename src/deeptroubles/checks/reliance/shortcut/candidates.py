"""Candidates for a shortcut: what many images of one class have in common, and images of other classes do not.

They are found in the pixels and labels alone, so that the test by the network's predictions is independent of the
search.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.checks.reliance.shortcut.objects import beside_objects, is_empty, known_objects
from deeptroubles.engine import Arrays
from deeptroubles.methods.reliance.fixed_patches import fixed_patches
from deeptroubles.methods.reliance.loose_patches import loose_patches
from deeptroubles.methods.reliance.shared.recurrence import Recurrence
from deeptroubles.methods.reliance.treated_classes import treated_classes
from deeptroubles.subject import Subject

FIXED, LOOSE = "fixed patch", "loose patch"
FIXED_SIDE, LOOSE_SIDE = 64, 32
"""Larger images are scaled to these sides for the search for patches."""
MOST = 16
"""Candidates that are tested, those with the highest scores."""
SAME = 0.5
"""Two candidates of a class are the same thing if they share at least this part of their images."""


@dataclass(frozen=True)
class Candidate:
    """What K images of a class have in common.

    Attributes:
        target: The class.
        name: FIXED, LOOSE, or a key of TREATMENTS.
        amount: The amount of a treatment; 0 for patches.
        rows: K, the images.
        masks: Where a patch is in each of them, K x h x w, bool, at the size of the search; empty for treatments.
    """

    target: int
    name: str
    amount: float
    rows: tuple[int, ...]
    masks: NDArray[np.bool_]

    @property
    def is_patch(self) -> bool:
        """Whether it is a patch, and not a treatment."""
        return self.name in {FIXED, LOOSE}

    @property
    def item(self) -> dict[str, Any]:
        """The candidate as plain values."""
        masks = {"shape": list(self.masks.shape), "bits": np.packbits(self.masks).tobytes().hex()}
        return {"target": self.target, "name": self.name, "amount": self.amount, "rows": list(self.rows), **masks}

    @staticmethod
    def of(item: dict[str, Any]) -> Candidate:
        """The candidate of an `item`."""
        count = int(np.prod(item["shape"]))
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(item["bits"]), np.uint8), count=count)
        masks = bits.reshape(item["shape"]).astype(bool)
        return Candidate(item["target"], item["name"], item["amount"], tuple(item["rows"]), masks)

    def masks_for(self, images: Tensor) -> Tensor:
        """The masks at the size of images (N x C x H x W): K x H x W, bool."""
        masks = torch.from_numpy(self.masks)[:, None].float()
        return functional.interpolate(masks, images.shape[-2:], mode="nearest")[:, 0] > 0

    def same_as(self, other: Candidate) -> bool:
        """Whether the images of another candidate are mostly the same."""
        shared = len(set(self.rows) & set(other.rows))
        return self.target == other.target and shared >= SAME * min(len(self.rows), len(other.rows))


def find_patches(subject: Subject, batch_size: int, *, rows: Sequence[int], masked: Sequence[int]) -> Arrays:
    """The patches that recur in images of one class beside the object: arrays of `packed`; some `rows` are `masked`."""
    pixels, targets = subject.pixels(rows).cpu(), torch.from_numpy(subject.targets[list(rows)])
    small = scaled(pixels, FIXED_SIDE)
    found = [f for f in fixed_patches(small, targets) if not is_empty(f, small)]
    known = [set(f.rows.tolist()) for f in found]
    for loose in loose_patches(scaled(pixels, LOOSE_SIDE), targets):
        own = set(loose.rows.tolist())
        if all(len(own & other) < SAME * len(own) for other in known):
            found.append(loose)
    found = beside_objects(found, known_objects(subject, rows, masked), len(torch.unique(targets)))
    return packed([_patch(f, rows) for f in found], [f.score for f in found])


def find_treatments(subject: Subject, batch_size: int, *, rows: Sequence[int]) -> Arrays:
    """The treatments of which images of one class bear traces: arrays of `packed`."""
    pixels, targets = subject.pixels(rows).cpu(), torch.from_numpy(subject.targets[list(rows)])
    found = treated_classes(pixels, targets)
    none = np.zeros((0, 0, 0), dtype=bool)
    all_rows = np.array(rows)
    candidates = [Candidate(f.target, f.name, f.amount, tuple(all_rows[f.rows].tolist()), none) for f in found]
    return packed(candidates, [f.score for f in found])


def scaled(pixels: Tensor, side: int) -> Tensor:
    """Images whose shorter side is at most `side`."""
    size = pixels.shape[-2:]
    if min(size) <= side:
        return pixels
    target = [round(length * side / min(size)) for length in size]
    return functional.interpolate(pixels, target, mode="bilinear", antialias=True)


def _patch(found: Recurrence, rows: Sequence[int]) -> Candidate:
    all_rows = np.array(rows)
    name = FIXED if found.fixed else LOOSE
    return Candidate(found.target, name, 0.0, tuple(all_rows[found.rows].tolist()), found.masks)


def packed(candidates: Sequence[Candidate], scores: Sequence[float]) -> Arrays:
    """Candidates as arrays that an engine can keep."""
    return {"item": np.array([json.dumps(c.item) for c in candidates], dtype=str), "score": np.array(scores, float)}


def unpacked(*found: Arrays) -> list[Candidate]:
    """The candidates with the highest scores, of several results of `packed`."""
    items = np.concatenate([part["item"] for part in found])
    scores = np.concatenate([part["score"] for part in found])
    return [Candidate.of(json.loads(items[i])) for i in np.argsort(-scores, kind="stable")[:MOST]]
