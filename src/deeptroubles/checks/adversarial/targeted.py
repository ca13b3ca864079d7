"""adversarial.targeted: can a change that is hard to see cause any prediction an attacker wants?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.adversarial.shared.examples import attacked_examples
from deeptroubles.checks.adversarial.shared.masking import RULE, gradient_masking, withheld
from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Finding, ImageGrid
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.attacks.square import square
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.masking import MaskingFlags
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

LEVEL, STEPS, QUERIES = 8, 30, 500
"""The budget, in 8-bit levels, the steps of PGD, and the queries of Square where gradients look masked."""
EXAMPLES_SHOWN = 3
VIEWS = 3 * STEPS
"""What an image costs, in forward passes: a step costs three."""
LIMITS = Limits(
    f"the share of images that reach their target class within {LEVEL}/255",
    warn_at=0.2,
    fail_at=0.5,
    note=f"{RULE} The thresholds are conventions.",
)


@dataclass(frozen=True, kw_only=True)
class Targeted:
    """Which images reach a target class drawn at random, signs of masked gradients, and examples."""

    looks: Looks
    success: NDArray[np.bool_]
    flags: MaskingFlags
    examples: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """The share of images that reach their target class."""
        return self.looks.mean_share(self.success)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share, masked = len(self.success), self.share, self.flags.raised()
        attack = f"PGD, {STEPS} steps" + (f"; then Square, {QUERIES} queries" if masked else "")
        yield Finding(
            check="adversarial.targeted",
            verdict=withheld(self.looks.verdict(LIMITS, share), masked),
            severity=share.value,
            claim=f"Changes of at most {LEVEL}/255 per pixel make the network predict a randomly chosen wrong class on "
            f"{percent_interval(share)} of images ({attack}).",
            criterion=LIMITS.criterion,
            evidence=[LIMITS.estimate("Images that reach a random target class", share, count), *self.examples],
            caveats=[
                *few(count),
                *self.looks.caveats,
                *masked,
                f"Images on which the attack failed ({attack}) may be changed by a longer search.",
            ],
        )


@check("adversarial.targeted", common=True)
def targeted(recording: Recording, engine: Engine, *, seed: int) -> Targeted:
    """Can a change that is hard to see cause any prediction an attacker wants?

    What it asks:
        Every image gets a wrong target class, drawn at random. Projected gradient descent searches for a change of at
        most 8 of 255 levels per pixel that makes the network predict it. Where gradients look masked, as in a network
        that rounds its input, Square, which uses none, searches as well.

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
    flags = gradient_masking(recording, engine)
    looks = look(
        recording,
        engine,
        _attack,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(looks.found["success"]),
        limits=LIMITS,
        views=VIEWS + (QUERIES if flags.raised() else 0),
        task="Attacking towards a target",
        seed=seed,
        first=MIN_IMAGES,
        chunk=4,
        draw=seed,
        squares=bool(flags.raised()),
    )
    rows, found = looks.rows, looks.found
    seen = np.flatnonzero(found["success"])[:EXAMPLES_SHOWN]
    return Targeted(
        looks=looks,
        success=found["success"].astype(bool),
        flags=flags,
        examples=attacked_examples(
            recording,
            engine,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"within {LEVEL}/255" for _ in seen],
        ),
    )


def _attack(
    subject: Subject,
    indices: Sequence[int],
    batch_size: int,
    draw: int,
    squares: bool,  # noqa: FBT001 (for engine.map)
) -> Arrays:
    """PGD, and with `squares` also Square on the images on which PGD failed."""
    pixels, targets = _pixels_and_targets(subject, indices, batch_size, draw)
    found = _pgd(subject, pixels, targets, batch_size)
    left = ~found.success
    if squares and left.any():
        more = square(
            subject.classifier,
            pixels[left],
            targets=targets[left],
            epsilon=LEVEL / 255,
            steps=QUERIES,
            seed=draw,
            batch_size=batch_size,
        )
        found.images[left], found.success[left] = more.images, more.success
    return {"success": found.success.cpu().numpy(), "attacked": to_bytes(found.images).numpy()}


def _pgd(subject: Subject, pixels: Tensor, targets: Tensor, batch_size: int) -> AttackResult:
    return pgd(subject.classifier, pixels, targets=targets, epsilon=LEVEL / 255, steps=STEPS, batch_size=batch_size)


def _pixels_and_targets(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """The images, and a wrong class for each, drawn at random."""
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    drawn = [int(np.random.default_rng([seed, i]).integers(1, classifier.classes)) for i in indices]
    return pixels, (labels + torch.tensor(drawn, device=labels.device)) % classifier.classes
