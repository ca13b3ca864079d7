"""adversarial.targeted: can small changes give an image any prediction?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.adversarial.shared.examples import attacked_examples
from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Finding, ImageGrid
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

LEVEL, STEPS = 8, 30
"""The budget, in 8-bit levels, and the steps of PGD."""
MAX_IMAGES, EXAMPLES_SHOWN = 12, 3
LIMITS = Limits(f"the share of images that reach their target class within {LEVEL}/255", warn_at=0.2, fail_at=0.5)


@dataclass(frozen=True, kw_only=True)
class Targeted:
    """Which images reach a target class drawn at random, and examples."""

    success: NDArray[np.bool_]
    examples: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """The share of images that reach their target class."""
        return wilson(int(self.success.sum()), len(self.success))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.success), self.share
        yield Finding(
            check="adversarial.targeted",
            verdict=LIMITS.verdict(share, count),
            severity=share.value,
            claim=f"Changes of at most {LEVEL}/255 per pixel make the network predict a randomly chosen wrong class on "
            f"{percent_interval(share)} of images (PGD, {STEPS} steps).",
            criterion=LIMITS.criterion,
            evidence=[LIMITS.estimate("Images that reach a random target class", share, count), *self.examples],
            caveats=[*few(count), f"Images that resisted PGD with {STEPS} steps may still fall to more steps."],
        )


@check("adversarial.targeted", common=True)
def targeted(recording: Recording, engine: Engine, *, seed: int) -> Targeted:
    """Can a change that is hard to see give an image any prediction?

    What it asks:
        Every image gets a wrong target class, drawn at random. Projected gradient descent searches for a change of at
        most 8 of 255 levels per pixel that makes the network predict it.

    Why it matters:
        An attacker who can choose the prediction can do more harm than one who can only make it wrong.

    How to read it:
        The estimate is the share of images for which the attack succeeded. The examples show the image, the change
        (amplified) and the result with its prediction.

    Limits:
        A failed attack proves nothing: a stronger one may succeed. Similar target classes are easier to reach.

    References:
        C. Szegedy et al., Intriguing properties of neural networks, ICLR 2014.

        A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018.
    """
    subject, rows = recording.subject, recording.sample(MAX_IMAGES)
    found = engine.map(_attack, subject, rows, task="Attacking towards a target", chunk=4, seed=seed)
    seen = np.flatnonzero(found["success"])[:EXAMPLES_SHOWN]
    return Targeted(
        success=found["success"].astype(bool),
        examples=attacked_examples(
            recording,
            engine,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"within {LEVEL}/255" for _ in seen],
        ),
    )


def _attack(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> Arrays:
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    drawn = [int(np.random.default_rng([seed, i]).integers(1, classifier.classes)) for i in indices]
    targets = (labels + torch.tensor(drawn, device=labels.device)) % classifier.classes
    found = pgd(classifier, pixels, targets=targets, epsilon=LEVEL / 255, steps=STEPS, batch_size=batch_size)
    return {"success": found.success.cpu().numpy(), "attacked": to_bytes(found.images).numpy()}
