"""The engine that works in this process, piece by piece."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeptroubles.progress import track
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject

Arrays = dict[str, NDArray[Any]]
Work = Callable[..., Arrays]
"""`work(subject, indices, batch_size, **settings)`: every array of the answer has one row per image, in order."""
Merge = Callable[[Arrays, Arrays], Arrays]
"""Joins what two pieces gave; associative, so that it does not matter where the images were cut into pieces."""

_DONE = "pieces done"
"""The name under which a running total says how many pieces are in it."""

PAUSE = 20.0
"""Seconds between two savings of a running total; longer when saving takes long, so that most time goes into work."""
_SAVING = 10
"""The work between two savings takes so many times as long as the last of them."""


class Engine(Protocol):
    """What checks ask to get work done."""

    def map(
        self,
        work: Work,
        subject: Subject,
        indices: Sequence[int] | NDArray[np.int64],
        *,
        label: str,
        piece: int = 8,
        **settings: Any,
    ) -> Arrays:
        """Do `work` on the images `indices` of a subject.

        Args:
            work: A function of a module (not a lambda), so that other processes could find it.
            subject: The classifier and the images.
            indices: Which images.
            label: What is being done, for the progress bar.
            piece: How many images are done, kept and resumed at a time.
            settings: Passed to `work`; plain values that JSON can hold.

        Returns:
            The arrays that `work` gave, joined along their first axis.
        """

    def reduce(
        self,
        work: Work,
        merge: Merge,
        subject: Subject,
        indices: Sequence[int] | NDArray[np.int64],
        *,
        label: str,
        piece: int = 256,
        **settings: Any,
    ) -> Arrays:
        """Do `work` on the images `indices` of a subject and merge the answers of all pieces into one.

        Only the running total is held and kept, so that memory and disk need not grow with the number of images.

        Args:
            work: A function of a module; here its arrays can have any shapes.
            merge: A function of a module that joins two answers of `work`, the earlier images first.
            subject: The classifier and the images.
            indices: Which images.
            label: What is being done, for the progress bar.
            piece: How many images are done at a time.
            settings: Passed to `work`; plain values that JSON can hold.

        Returns:
            The merged arrays; none where there are no images.
        """


class LocalEngine:
    """Does the work in this process; with a run folder, keeps each piece and takes it from there the next time."""

    def __init__(self, folder: RunFolder | None = None, batch_size: int = 32) -> None:
        self.folder = folder
        self.batch_size = batch_size

    def map(  # noqa: D102 (see Engine)
        self,
        work: Work,
        subject: Subject,
        indices: Sequence[int] | NDArray[np.int64],
        *,
        label: str,
        piece: int = 8,
        **settings: Any,
    ) -> Arrays:
        pieces = [[int(index) for index in indices[i : i + piece]] for i in range(0, len(indices), piece)]
        results = [
            self._do(work, subject, part, settings) for part in track(pieces, label, sizes=[len(p) for p in pieces])
        ]
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]} if results else {}

    def reduce(  # noqa: D102 (see Engine)
        self,
        work: Work,
        merge: Merge,
        subject: Subject,
        indices: Sequence[int] | NDArray[np.int64],
        *,
        label: str,
        piece: int = 256,
        **settings: Any,
    ) -> Arrays:
        pieces = [[int(index) for index in indices[i : i + piece]] for i in range(0, len(indices), piece)]
        key = self._key(work, subject, pieces, settings, merge.__module__, merge.__qualname__)
        total = (self.folder.piece(key) if self.folder else None) or {}
        done = int(total.pop(_DONE, np.zeros(1))[0])
        saved, pause = time.monotonic(), PAUSE
        for part in track(pieces[done:], label, sizes=[len(p) for p in pieces[done:]]):
            found = work(subject, part, self.batch_size, **settings)
            total, done = merge(total, found) if done else found, done + 1
            if self.folder and (done == len(pieces) or time.monotonic() - saved > pause):
                started = time.monotonic()
                self.folder.keep_piece(key, {**total, _DONE: np.array([done])})
                saved = time.monotonic()
                pause = max(PAUSE, _SAVING * (saved - started))
        return total

    def _do(self, work: Work, subject: Subject, part: list[int], settings: dict[str, Any]) -> Arrays:
        if self.folder is None:
            return work(subject, part, self.batch_size, **settings)
        key = self._key(work, subject, part, settings)
        held = self.folder.piece(key)
        if held is None:
            held = work(subject, part, self.batch_size, **settings)
            self.folder.keep_piece(key, held)
        return held

    def _key(self, work: Work, subject: Subject, images: Sequence[Any], settings: dict[str, Any], *more: str) -> str:
        """A hash of everything that decides a result."""
        if self.folder is None:
            return ""
        decides = [code_fingerprint(), work.__module__, work.__qualname__, subject.fingerprint, images, settings, *more]
        return hashlib.blake2b(json.dumps(decides, sort_keys=True).encode(), digest_size=16).hexdigest()


@cache
def code_fingerprint() -> str:
    """A hash of this package's own code and of torch's version: another version computes its pieces anew."""
    digest = hashlib.blake2b(metadata.version("torch").encode(), digest_size=16)
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
