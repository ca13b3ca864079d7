"""The engine that works in this process, chunk by chunk."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from deeptroubles.engine.engine import Arrays, Items, Merge, Work, chunks_of, result_key
from deeptroubles.progress import track
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject, images_at_once

_DONE = "chunks done"
"""The name under which a running total says how many chunks are in it."""

PAUSE = 20.0
"""Seconds between two savings of a running total; longer when saving takes long, so that most time goes into work."""
_SAVING = 10
"""The work between two savings takes so many times as long as the last of them."""


class LocalEngine:
    """Does the work in this process; with a run folder, keeps each result and takes it from there the next time."""

    def __init__(self, folder: RunFolder | None = None, batch_size: int = 32) -> None:
        self.folder = folder
        self.batch_size = batch_size

    def map(  # noqa: D102 (see Engine)
        self, work: Work, subject: Subject, items: Items, *, task: str, chunk: int = 8, **settings: Any
    ) -> Arrays:
        chunks = chunks_of(items, chunk)
        results = [
            self._kept(work, subject, (part,), settings) for part in track(chunks, task, sizes=list(map(len, chunks)))
        ]
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]} if results else {}

    def reduce(  # noqa: D102 (see Engine)
        self, work: Work, merge: Merge, subject: Subject, items: Items, *, task: str, chunk: int = 256, **settings: Any
    ) -> Arrays:
        chunks = chunks_of(items, chunk)
        key = self._key(work, subject, chunks, settings, merge.__module__, merge.__qualname__)
        total = (self.folder.chunk(key) if self.folder else None) or {}
        done = int(total.pop(_DONE, np.zeros(1))[0])
        saved, pause = time.monotonic(), PAUSE
        for part in track(chunks[done:], task, sizes=list(map(len, chunks[done:]))):
            found = work(subject, part, images_at_once(subject.classifier, self.batch_size), **settings)
            total, done = merge(total, found) if done else found, done + 1
            if self.folder and (done == len(chunks) or time.monotonic() - saved > pause):
                started = time.monotonic()
                self.folder.keep_chunk(key, {**total, _DONE: np.array([done])})
                saved = time.monotonic()
                pause = max(PAUSE, _SAVING * (saved - started))
        return total

    def once(self, work: Work, subject: Subject, *, task: str, **settings: Any) -> Arrays:  # noqa: D102 (see Engine)
        (result,) = [self._kept(work, subject, (), settings) for _ in track([work], task)]
        return result

    def _kept(self, work: Work, subject: Subject, items: tuple[list[Any], ...], settings: dict[str, Any]) -> Arrays:
        """A result from the run folder, or done now and kept there. `items` holds those of `map`, or nothing."""
        key = self._key(work, subject, items, settings)
        held = self.folder.chunk(key) if self.folder else None
        if held is None:
            held = work(subject, *items, images_at_once(subject.classifier, self.batch_size), **settings)
            if self.folder:
                self.folder.keep_chunk(key, held)
        return held

    def _key(self, work: Work, subject: Subject, items: Any, settings: dict[str, Any], *more: str) -> str:
        return result_key(subject, work.__module__, work.__qualname__, items, settings, *more) if self.folder else ""
