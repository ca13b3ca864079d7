"""Masked gradients: what an adversarial check may conclude where gradients do not show how logits change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Verdict
from deeptroubles.methods.masking import MaskingFlags, masking_flags
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject, logits_of

MAX_IMAGES, EXAMINED = 16, 8
RULE = "While gradients look masked, it can only fail or be inconclusive."
"""`withheld` in words, for criteria."""


def gradient_masking(recording: Recording, engine: Engine) -> MaskingFlags:
    """Signs of masked gradients on some images; the same for all checks, so that they are computed once."""
    rows = recording.sample(MAX_IMAGES)[:EXAMINED]
    found = engine.map(_flags, recording.subject, rows, task="Testing for masked gradients", chunk=EXAMINED)
    return MaskingFlags(**{name: values.reshape(-1)[0].item() for name, values in found.items()})


def withheld(verdict: Verdict, doubts: Sequence[str]) -> Verdict:
    """The verdict of an attack; inconclusive where it found little and there is a reason to doubt the attack."""
    return Verdict.INCONCLUSIVE if doubts and verdict in {Verdict.PASS, Verdict.WARN} else verdict


def _flags(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    pixels = subject.pixels(indices)
    labels = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    found = asdict(masking_flags(subject.classifier, pixels, labels))
    return {name: np.array([value] * len(indices)) for name, value in found.items()}
