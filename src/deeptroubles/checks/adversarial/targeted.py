"""adversarial.targeted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.adversarial.shared.examples import attacked_strips
from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Estimate, Finding, ImageGrid
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

LEVEL, STEPS = 8, 30
"""The budget, in 8-bit levels, and the steps of PGD."""
IMAGES, SHOWN = 12, 3
WARN_AT, FAIL_AT = 0.2, 0.5


@dataclass(frozen=True, kw_only=True)
class Targeted:
    """Which images could be given the answer that was drawn for them."""

    success: NDArray[np.bool_]
    strips: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """The share of images that reach their class."""
        return wilson(int(self.success.sum()), len(self.success))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.success), self.share
        yield Finding(
            check="adversarial.targeted",
            verdict=judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=share.value,
            claim=f"Changes of at most {LEVEL}/255 per pixel turn {percent_interval(share)} of the images into a "
            f"class that was drawn at random (PGD, {STEPS} steps).",
            criterion=criterion(
                f"the share of images that reach their class within {LEVEL}/255", warn_at=WARN_AT, fail_at=FAIL_AT
            ),
            evidence=[
                Estimate(
                    label="Images that become a class drawn at random",
                    value=share.value,
                    low=share.low,
                    high=share.high,
                    n=count,
                    warn_at=WARN_AT,
                    fail_at=FAIL_AT,
                ),
                *self.strips,
            ],
            caveats=[
                *few(count),
                f"An image that is not turned is not turned by PGD in {STEPS} steps; more steps may do it.",
            ],
        )


@check("adversarial.targeted")
def targeted(recording: Recording, engine: Engine, *, seed: int) -> Targeted:
    """Can any image be turned into any class by a change that is hard to see?

    What it asks:
        Every image is given a class that it is not, drawn at random, and projected gradient descent looks for a change
        of at most 8 of 255 levels per pixel that makes the network say so.

    Why it matters:
        Whoever can choose the answer can open a door, not only break a window.

    How to read it:
        The estimate is the share of images for which it succeeded. The pictures show the image, the change (amplified)
        and the result with what the network says of it.

    Limits:
        An upper bound only: failing proves nothing. The classes are drawn; near ones are easier than far ones.

    References:
        C. Szegedy et al., Intriguing properties of neural networks, ICLR 2014.

        A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018.
    """
    subject, rows = recording.subject, recording.sample(IMAGES)
    found = engine.map(_attack, subject, rows, task="Choosing the answer", chunk=4, seed=seed)
    seen = np.flatnonzero(found["success"])[:SHOWN]
    return Targeted(
        success=found["success"].astype(bool),
        strips=attacked_strips(
            recording,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"within {LEVEL}/255" for _ in seen],
        ),
    )


def _attack(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> dict[str, NDArray[Any]]:
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    drawn = [int(np.random.default_rng([seed, i]).integers(1, classifier.classes)) for i in indices]
    targets = (labels + torch.tensor(drawn, device=labels.device)) % classifier.classes
    found = pgd(classifier, pixels, targets=targets, epsilon=LEVEL / 255, steps=STEPS, batch_size=batch_size)
    return {"success": found.success.cpu().numpy(), "attacked": to_bytes(found.images).numpy()}
