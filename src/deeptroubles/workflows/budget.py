"""From a time to what each check may spend: how many times it may show an image to the classifier."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from deeptroubles.engine import Arrays, Engine
from deeptroubles.recording import Budget, Recording
from deeptroubles.subject import Subject, logits_of

SHOWN, ROUNDS = 32, 3
"""Images that are timed, and how often; the quickest round counts."""
SHARE = 1 / 20
"""What each check may spend at most of the budget of many; most need much less."""


def budget_for(seconds: float, recording: Recording, engine: Engine, checks: int) -> Budget:
    """Share a time among checks.

    The classifier is timed once and the result is kept in the run, so that a run that is resumed or repeated there
    looks at the same images.
    """
    rows = recording.sample(SHOWN).tolist()
    timed = engine.once(time_looks, recording.subject, task="Timing the classifier", rows=rows)
    each = float(timed["seconds"])
    return Budget(looks=max(1, int(seconds * max(SHARE, 1 / max(1, checks)) / each)), seconds=each)


def time_looks(subject: Subject, batch_size: int, rows: Sequence[int]) -> Arrays:
    """The seconds that the classifier takes for one image, in batches."""
    pixels = subject.pixels(rows)
    pixels = pixels.repeat(-(-SHOWN // len(pixels)), 1, 1, 1)[:SHOWN]
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        logits_of(subject.classifier, pixels, batch_size)
        took.append(time.perf_counter() - started)
    return {"seconds": np.array(min(took) / SHOWN)}
