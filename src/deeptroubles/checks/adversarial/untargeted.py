"""adversarial.untargeted: how small a deliberate perturbation is enough to change the prediction?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.adversarial.shared.examples import attacked_examples
from deeptroubles.checks.adversarial.shared.masking import RULE, gradient_masking, withheld
from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval, plural
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Curve, Evidence, Finding, ImageGrid, Series, Verdict
from deeptroubles.methods.attacks.fgsm import fgsm
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.attacks.square import square
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.masking import MaskingFlags
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 255)
"""Budgets in 8-bit levels."""
JUDGED = 4
"""The budget that the verdict is about: 4/255, the usual one for ImageNet."""
STEPS, QUERIES, NOISES = 20, 100, 3
EXAMPLES_SHOWN = 3
VIEWS = 9 * STEPS + QUERIES
"""What an image costs, in forward passes: most predictions change at one of the first three budgets; a step costs
three."""
LIMITS = Limits(
    f"the share of images whose prediction changes within {JUDGED}/255",
    warn_at=0.2,
    fail_at=0.5,
    note=f"{RULE} The same holds while the attack breaks a rule that every sound attack obeys (see the caveats). The "
    "thresholds are conventions.",
)


@dataclass(frozen=True, kw_only=True)
class Untargeted:
    """The budget at which each image's prediction changed.

    Attributes:
        looks: The images that were attacked, N.
        broken_at: The smallest of LEVELS at which PGD changed the prediction, N; 0 where none did.
        correct: Whether the prediction was correct before, N; None where the class is not known.
        violations: Rules that every sound attack obeys and this one broke, so that its failures prove nothing.
        flags: Signs of masked gradients.
        examples: Images before and after.
    """

    looks: Looks
    broken_at: NDArray[np.int64]
    correct: tuple[bool | None, ...]
    violations: tuple[str, ...]
    flags: MaskingFlags
    examples: tuple[ImageGrid, ...]

    def broken(self, level: int) -> Interval:
        """The share of images whose prediction changes within a budget, in 8-bit levels."""
        return self.looks.mean_share(_within(self.broken_at, level))

    @property
    def verdict(self) -> Verdict:
        """By the share at JUDGED; inconclusive where the attack failed and cannot be trusted."""
        verdict = self.looks.verdict(LIMITS, self.broken(JUDGED))
        return withheld(verdict, [*self.violations, *self.flags.raised()])

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.broken_at), self.broken(JUDGED)
        kept = count - int(_within(self.broken_at, JUDGED).sum())
        yield Finding(
            check="adversarial.untargeted",
            verdict=self.verdict,
            severity=share.value,
            claim=f"Changes of at most {JUDGED}/255 per pixel change the prediction on {percent_interval(share)} of "
            f"images; {kept} of {count} were not broken by PGD with {STEPS} steps.",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(count),
                *self.looks.caveats,
                *self.violations,
                *self.flags.raised(),
                *self._known(),
                "Images not broken by this attack at this budget may be broken by a stronger one.",
            ],
        )

    def _known(self) -> list[str]:
        known = [correct for correct in self.correct if correct is not None]
        if not known:
            return ["True classes are unknown: the attack changes the prediction, correct or not."]
        return [f"Before the attack, {sum(known)} of {plural(len(known), 'labelled image')} had a correct prediction."]

    def _evidence(self) -> list[Evidence]:
        levels, over = [float(level) for level in LEVELS], [self.broken(level) for level in LEVELS]
        series = [
            Series(
                name="PGD", x=levels, y=[s.value for s in over], low=[s.low for s in over], high=[s.high for s in over]
            )
        ]
        known = np.array([correct is not None for correct in self.correct])
        if known.any():
            right = np.array([bool(correct) for correct in self.correct])
            left = [
                float((right & ((self.broken_at == 0) | (self.broken_at > level)))[known].mean()) for level in LEVELS
            ]
            series.append(Series(name="remaining accuracy", x=levels, y=left))
        return [
            LIMITS.estimate(f"Predictions that change within {JUDGED}/255", self.broken(JUDGED), len(self.broken_at)),
            *self.examples,
            Curve(
                title="Predictions that change, by budget",
                x_label="largest change of a pixel (of 255 levels)",
                y_label="share of images",
                series=series,
                y_range=(0.0, 1.0),
                x_scale="log",
            ),
        ]


@check("adversarial.untargeted", common=True)
def untargeted(recording: Recording, engine: Engine, *, seed: int) -> Untargeted:
    """How small a deliberate perturbation is enough to change the prediction?

    What it asks:
        Projected gradient descent searches for a change of every image that changes the prediction, with no pixel
        changed by more than 1, 2, 4, ... of 255 levels. How many predictions change at each budget?

    Why it matters:
        If an invisible change changes the prediction, the prediction depends on something invisible.

    How to read it:
        The curve rises to 100%, because a large enough change changes every prediction; the budget at which it rises
        matters. The examples show images, the change (amplified), and the new prediction, on exactly the 8-bit image
        that a file holds. The check neither passes nor warns where the attack cannot be trusted: if one step, random
        noise or an attack without gradients changes a prediction that many steps along the gradient do not, or if a
        larger budget changes fewer predictions.

    Limits:
        A failed attack proves nothing: a stronger one may succeed. Predictions of ordinary networks, which were not
        trained against attacks, change at 1 to 4 of 255 levels. Such changes are rare in natural images.

    References:
        A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018.

        N. Carlini et al., On evaluating adversarial robustness, 2019.
    """
    looks = look(
        recording,
        engine,
        _attack,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(_within(looks.found["broken_at"], JUDGED)),
        limits=LIMITS,
        views=VIEWS,
        task="Attacking with gradients",
        seed=seed,
        first=MIN_IMAGES,
        chunk=4,
        draw=seed,
    )
    rows, found = looks.rows, looks.found
    broken_at = found["broken_at"].astype(np.int64)
    correct = tuple(
        bool(recording.predicted[i] == recording.targets[i]) if recording.targets[i] >= 0 else None for i in rows
    )
    seen = [int(i) for i in np.flatnonzero(broken_at)[:EXAMPLES_SHOWN]]
    return Untargeted(
        looks=looks,
        broken_at=broken_at,
        correct=correct,
        violations=_violations(found),
        flags=gradient_masking(recording, engine),
        examples=attacked_examples(
            recording,
            engine,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"within {broken_at[i]}/255" for i in seen],
        ),
    )


def _within(broken_at: NDArray[np.int64], level: int) -> NDArray[np.bool_]:
    """Whether each image was broken within a budget."""
    return np.asarray((broken_at > 0) & (broken_at <= level))


def _attack(subject: Subject, indices: Sequence[int], batch_size: int, draw: int) -> Arrays:
    """PGD at growing budgets on the remaining images, and the attacks it is compared with at JUDGED."""
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    broken_at = torch.zeros(len(pixels), dtype=torch.long)
    attacked, left = pixels.clone(), torch.arange(len(pixels))
    for level in LEVELS:
        found = pgd(
            classifier, pixels[left], labels[left], epsilon=level / 255, steps=STEPS, seed=draw, batch_size=batch_size
        )
        success = found.success.cpu()
        broken_at[left[success]] = level
        attacked[left[success]] = found.images[found.success]
        left = left[~success]
        if not len(left):
            break
    judged = (broken_at > 0) & (broken_at <= JUDGED)
    # Weaker attacks must not break what PGD did not break.
    kept, lost = (~judged).nonzero()[:, 0], judged.nonzero()[:, 0]
    budget = {"epsilon": JUDGED / 255, "batch_size": batch_size}
    held = {
        "single": _broken(fgsm, classifier, pixels, labels, kept, **budget),
        "noise": _broken(random_noise, classifier, pixels, labels, kept, tries=NOISES, seed=draw, **budget),
        "black_box": _broken(square, classifier, pixels, labels, kept, steps=QUERIES, seed=draw, **budget),
        "more": _broken(
            pgd,
            classifier,
            pixels,
            labels,
            lost,
            steps=STEPS,
            seed=draw,
            epsilon=2 * JUDGED / 255,
            batch_size=batch_size,
        ),
    }
    return {
        "broken_at": broken_at.numpy(),
        "attacked": to_bytes(attacked).numpy(),
        **{name: values.numpy() for name, values in held.items()},
    }


def _broken(
    attack: Callable[..., AttackResult],
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    rows: Tensor,
    **settings: Any,
) -> Tensor:
    """Which images an attack breaks, when it is tried on some of them, N."""
    broken = torch.zeros(len(pixels), dtype=torch.bool)
    if len(rows):
        broken[rows] = attack(classifier, pixels[rows], labels[rows], **settings).success.cpu()
    return broken


def _violations(found: dict[str, NDArray[Any]]) -> tuple[str, ...]:
    """The rules that the attack broke on some images."""
    judged = (found["broken_at"] > 0) & (found["broken_at"] <= JUDGED)
    rules = {
        "single": "a single step (FGSM)",
        "black_box": f"Square, which uses no gradients, with {QUERIES} queries",
        "noise": "random noise",
    }
    missed = {name: int(found[name].sum()) for name in rules}
    broken = [
        f"{words[:1].upper()}{words[1:]} broke {plural(missed[name], 'image')} that PGD did not break within "
        f"{JUDGED}/255."
        for name, words in rules.items()
        if missed[name]
    ]
    less = int((judged & ~found["more"]).sum())
    return (
        *broken,
        *([f"With twice the budget, PGD did not break {plural(less, 'image')} that it had broken."] if less else []),
    )
