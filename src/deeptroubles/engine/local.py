"""The engine that works in this process, chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from deeptroubles.engine.engine import Arrays, Items, Merge, Work, chunks_of, done_within_memory, result_key
from deeptroubles.progress import track
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject

_DONE = "chunks done"
"""The name under which a running total says how many chunks are in it."""

PAUSE = 20.0
"""Seconds between two savings of a running total; longer when saving takes long, so that most time goes into work."""
_SAVING = 10
"""The work between two savings takes at least this many times as long as the last saving."""


class LocalEngine:
    """Does the work in this process; with a run folder, keeps each result there and reads it the next time."""

    def __init__(self, folder: RunFolder | None = None, batch_size: int = 32) -> None:
        self.folder = folder
        self.batch_size = batch_size

    def map(  # noqa: D102 (see Engine)
        self, work: Work, subject: Subject, items: Items, *, task: str, chunk: int = 8, **settings: Any
    ) -> Arrays:
        chunks = chunks_of(items, chunk)
        results = list(self._kept(work, subject, [(part,) for part in chunks], settings, task))
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]} if results else {}

    def reduce(  # noqa: D102 (see Engine)
        self, work: Work, merge: Merge, subject: Subject, items: Items, *, task: str, chunk: int = 256, **settings: Any
    ) -> Arrays:
        chunks = chunks_of(items, chunk)
        key = self._key(work, subject, chunks, settings, merge.__module__, merge.__qualname__)
        total = (self.folder.chunk(key) if self.folder else None) or {}
        done = int(total.pop(_DONE, np.zeros(1))[0])
        saved, pause = time.monotonic(), PAUSE
        left = [(part,) for part in chunks[done:]]
        found = self.computed(work, subject, left, settings)
        for _, each in zip(track(left, task, sizes=[len(part) for (part,) in left]), found, strict=True):
            total, done = merge(total, each) if done else each, done + 1
            if self.folder and (done == len(chunks) or time.monotonic() - saved > pause):
                started = time.monotonic()
                self.folder.keep_chunk(key, {**total, _DONE: np.array([done])})
                saved = time.monotonic()
                pause = max(PAUSE, _SAVING * (saved - started))
        return total

    def once(self, work: Work, subject: Subject, *, task: str, **settings: Any) -> Arrays:  # noqa: D102 (see Engine)
        (result,) = self._kept(work, subject, [()], settings, task)
        return result

    def computed(
        self, work: Work, subject: Subject, parts: Sequence[tuple[Any, ...]], settings: Mapping[str, Any]
    ) -> Iterator[Arrays]:
        """The results of some parts of the work, in their order. A part holds the items of a chunk, or nothing."""
        for part in parts:
            yield done_within_memory(work, subject, part, self.batch_size, settings)

    def _kept(
        self, work: Work, subject: Subject, parts: Sequence[tuple[Any, ...]], settings: Mapping[str, Any], task: str
    ) -> Iterator[Arrays]:
        """Results from the run folder, or computed now and kept there, in order."""
        keys = [self._key(work, subject, part, settings) for part in parts]
        held = [self.folder.chunk(key) if self.folder else None for key in keys]
        missing = [part for part, result in zip(parts, held, strict=True) if result is None]
        found = self.computed(work, subject, missing, settings)
        sizes = [len(part[0]) if part else 1 for part in parts]
        for i in track(range(len(parts)), task, sizes=sizes):
            result = held[i]
            if result is None:
                result = next(found)
                if self.folder:
                    self.folder.keep_chunk(keys[i], result)
            yield result

    def _key(self, work: Work, subject: Subject, items: Any, settings: Mapping[str, Any], *more: str) -> str:
        return result_key(subject, work.__module__, work.__qualname__, items, settings, *more) if self.folder else ""
