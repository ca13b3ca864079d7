"""What every engine does, and the key under which results are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject, fewer, images_at_once

Arrays = dict[str, NDArray[Any]]
Work = Callable[..., Arrays]
"""`work(subject, items, batch_size, **settings)`: every array of the result has one row per item, in order."""
Merge = Callable[[Arrays, Arrays], Arrays]
"""Joins the results of two chunks; associative, so that it does not matter where the items were cut into chunks."""
Items = Sequence[Any] | NDArray[np.int64]
"""Plain values that JSON can hold, such as the row of an image or a pair of rows."""


class Engine(Protocol):
    """What checks ask to get work done. Work is a function of a module (not a lambda), so that others can find it."""

    def map(self, work: Work, subject: Subject, items: Items, *, task: str, chunk: int = 8, **settings: Any) -> Arrays:
        """Do `work` on items of a subject.

        Args:
            work: What to do with some of the items.
            subject: The classifier and the images.
            items: Mostly rows of images; `work` gets them as plain values.
            task: What is being done, to show progress.
            chunk: How many items are done, kept and resumed at a time.
            settings: Passed to `work`; plain values that JSON can hold.

        Returns:
            The arrays that `work` returned, joined along their first axis; none where there are no items.
        """

    def reduce(
        self, work: Work, merge: Merge, subject: Subject, items: Items, *, task: str, chunk: int = 256, **settings: Any
    ) -> Arrays:
        """Do `work` on items of a subject and merge the results of all chunks into one.

        Only the running total is held and kept, so that memory and disk need not grow with the number of items.

        Args:
            work: What to do with some of the items; here its arrays can have any shapes.
            merge: Joins two results of `work`, the earlier items first.
            subject: The classifier and the images.
            items: Mostly rows of images; `work` gets them as plain values.
            task: What is being done, to show progress.
            chunk: How many items are done at a time.
            settings: Passed to `work`; plain values that JSON can hold.

        Returns:
            The merged arrays; none where there are no items.
        """

    def once(self, work: Work, subject: Subject, *, task: str, **settings: Any) -> Arrays:
        """Run `work` once and keep its result.

        Args:
            work: What to do: `work(subject, batch_size, **settings)`; its arrays can have any shapes.
            subject: The classifier and the images.
            task: What is being done, to show progress.
            settings: Passed to `work`; plain values that JSON can hold.
        """


MakeEngine = Callable[[RunFolder | None, int], Engine]
"""Makes the engine of a run from its folder (None: nothing is kept) and the batch size; `LocalEngine` is one."""


def done_within_memory(
    work: Work, subject: Subject, part: tuple[Any, ...], batch_size: int, settings: Mapping[str, Any]
) -> Arrays:
    """The result of `work` for a part of the items (or without any); in smaller batches where a GPU's memory runs out.

    Raises:
        torch.OutOfMemoryError: One image does not fit.
    """
    at_once = images_at_once(subject.classifier, batch_size)
    while True:
        try:
            return work(subject, *part, at_once, **settings)
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once = fewer(at_once)


def plain(items: Items) -> list[Any]:
    """Items as JSON and every process can hold them: arrays and numbers of numpy become lists and numbers of Python."""
    return [item.tolist() if isinstance(item, np.generic | np.ndarray) else item for item in items]


def chunks_of(items: Items, chunk: int) -> list[list[Any]]:
    """The items in chunks, as plain values."""
    values = plain(items)
    return [values[i : i + chunk] for i in range(0, len(values), chunk)]


def result_key(subject: Subject, *decides: Any) -> str:
    """A hash of everything that decides a result: this code, the subject, and what else is named."""
    text = json.dumps([code_fingerprint(), subject.fingerprint, *decides], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def code_fingerprint() -> str:
    """A hash of this package's own code and of torch's version: another version computes its results anew."""
    digest = hashlib.blake2b(metadata.version("torch").encode(), digest_size=16)
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
