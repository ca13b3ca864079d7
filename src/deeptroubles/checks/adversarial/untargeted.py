"""adversarial.untargeted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.adversarial.shared.examples import attacked_strips
from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Engine
from deeptroubles.findings import Curve, Estimate, Evidence, Finding, ImageGrid, Series, Verdict
from deeptroubles.methods.attacks.fgsm import fgsm
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.random_noise import random_noise
from deeptroubles.methods.attacks.shared.masking import MaskingFlags, masking_flags
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.attacks.square import square
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 255)
"""Budgets in 8-bit levels."""
JUDGED = 4
"""The budget that the verdict is about: 4/255, the usual one for ImageNet."""
STEPS, QUERIES, NOISES = 20, 100, 3
IMAGES, SHOWN = 16, 3
WARN_AT, FAIL_AT = 0.2, 0.5


@dataclass(frozen=True, kw_only=True)
class GradientAttack:
    """At which budget each image's answer changed.

    Attributes:
        broken_at: The smallest of LEVELS at which PGD changed the answer, N; 0 where none did.
        right: Whether the answer was right before, N; None where the class is not known.
        trouble: What speaks against trusting a failure: rules that every sound attack obeys and this one broke.
        flags: Signs of masked gradients.
        strips: Images before and after.
    """

    broken_at: NDArray[np.int64]
    right: tuple[bool | None, ...]
    trouble: tuple[str, ...]
    flags: MaskingFlags
    strips: tuple[ImageGrid, ...]

    def broken(self, level: int) -> Interval:
        """The share of images whose answer changes within a budget of so many 8-bit levels."""
        return wilson(int(((self.broken_at > 0) & (self.broken_at <= level)).sum()), len(self.broken_at))

    @property
    def verdict(self) -> Verdict:
        """What the share at JUDGED says; where an attack fails that cannot be trusted, nothing."""
        verdict = judge(self.broken(JUDGED), len(self.broken_at), warn_at=WARN_AT, fail_at=FAIL_AT)
        doubtful = self.trouble or self.flags.raised()
        return Verdict.INCONCLUSIVE if doubtful and verdict in {Verdict.PASS, Verdict.WARN} else verdict

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.broken_at), self.broken(JUDGED)
        kept = count - round(share.value * count)
        yield Finding(
            check="adversarial.untargeted",
            verdict=self.verdict,
            severity=share.value,
            claim=f"Changes of at most {JUDGED}/255 per pixel change the answer on {percent_interval(share)} of the "
            f"images; {kept} of {count} were not broken by PGD with {STEPS} steps.",
            criterion=criterion(
                f"the share of images whose answer changes within {JUDGED}/255", warn_at=WARN_AT, fail_at=FAIL_AT
            )
            + " Never passes while gradients look masked or the attack breaks a rule that it should obey.",
            evidence=self._evidence(),
            caveats=[
                *few(count),
                *self.trouble,
                *self.flags.raised(),
                *self._known(),
                "An image that is not broken is not broken by this attack at this budget; a stronger one may break it.",
            ],
        )

    def _known(self) -> list[str]:
        known = [right for right in self.right if right is not None]
        if not known:
            return ["No true classes are known: what is attacked is the answer, right or wrong."]
        return [f"Before the attack {sum(known)} of {len(known)} images with a known class were answered right."]

    def _evidence(self) -> list[Evidence]:
        share, count = self.broken(JUDGED), len(self.broken_at)
        levels, over = [float(level) for level in LEVELS], [self.broken(level) for level in LEVELS]
        series = [
            Series(
                name="PGD", x=levels, y=[s.value for s in over], low=[s.low for s in over], high=[s.high for s in over]
            )
        ]
        known = np.array([right is not None for right in self.right])
        if known.any():
            right = np.array([bool(right) for right in self.right])
            left = [
                float((right & ((self.broken_at == 0) | (self.broken_at > level)))[known].mean()) for level in LEVELS
            ]
            series.append(Series(name="accuracy that is left", x=levels, y=left))
        return [
            Estimate(
                label=f"Answers that change within {JUDGED}/255",
                value=share.value,
                low=share.low,
                high=share.high,
                n=count,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.strips,
            Curve(
                title="Answers that change, against the budget",
                x_label="largest change of a pixel (of 255)",
                y_label="share of images",
                series=series,
                y_range=(0.0, 1.0),
                x_scale="log",
            ),
        ]


@check("adversarial.untargeted")
def untargeted(recording: Recording, engine: Engine, *, seed: int) -> GradientAttack:
    """How small a change, made on purpose, changes the answer?

    What it asks:
        Projected gradient descent looks for a change of every image that changes the answer, with no pixel changed by
        more than 1, 2, 4, ... of 255 levels. How many answers change at each budget?

    Why it matters:
        A change that nobody sees and that changes the answer says that the answer rests on something that nobody sees.

    How to read it:
        The curve rises to 100 %: some change breaks everything. What matters is where it rises. The pictures show
        images, the change (amplified), and what the network says then, on exactly the 8-bit image that a file holds.
        The verdict is not trusted when the attack breaks a rule: one step stronger than many, noise stronger than the
        gradient, an attack that needs no gradients stronger than one that has them, more budget breaking less.

    Limits:
        An upper bound only: failing to break an image proves nothing. Ordinary networks that were not trained against
        it break at 1 to 4 of 255. Natural images rarely come with such changes.

    References:
        A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018.

        N. Carlini et al., On evaluating adversarial robustness, 2019.
    """
    subject, rows = recording.subject, recording.sample(IMAGES)
    found = engine.map(_attack, subject, rows, task="Attacking with gradients", chunk=4, seed=seed)
    flags = engine.map(_flags, subject, rows[:8], task="Looking for masked gradients", chunk=8)
    broken_at = found["broken_at"].astype(np.int64)
    right = tuple(
        bool(recording.predicted[i] == recording.targets[i]) if recording.targets[i] >= 0 else None for i in rows
    )
    seen = [int(i) for i in np.flatnonzero(broken_at)[:SHOWN]]
    return GradientAttack(
        broken_at=broken_at,
        right=right,
        trouble=_trouble(found),
        flags=MaskingFlags(**{name: values.reshape(-1)[0].item() for name, values in flags.items()}),
        strips=attacked_strips(
            recording,
            [int(rows[i]) for i in seen],
            [found["attacked"][i] for i in seen],
            [f"within {broken_at[i]}/255" for i in seen],
        ),
    )


def _attack(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> dict[str, NDArray[Any]]:
    """PGD at growing budgets on what is left, and the attacks it is held against at JUDGED."""
    classifier, pixels = subject.classifier, subject.pixels(indices)
    labels = logits_of(classifier, pixels, batch_size).argmax(1)
    broken_at = torch.zeros(len(pixels), dtype=torch.long)
    attacked, left = pixels.clone(), torch.arange(len(pixels))
    for level in LEVELS:
        found = pgd(
            classifier, pixels[left], labels[left], epsilon=level / 255, steps=STEPS, seed=seed, batch_size=batch_size
        )
        success = found.success.cpu()
        broken_at[left[success]] = level
        attacked[left[success]] = found.images[found.success]
        left = left[~success]
        if not len(left):
            break
    judged = (broken_at > 0) & (broken_at <= JUDGED)
    # What PGD broke needs no second opinion; what it did not break must not be broken by less.
    kept, lost = (~judged).nonzero()[:, 0], judged.nonzero()[:, 0]
    budget = {"epsilon": JUDGED / 255, "batch_size": batch_size}
    held = {
        "single": _broken(fgsm, classifier, pixels, labels, kept, **budget),
        "noise": _broken(random_noise, classifier, pixels, labels, kept, tries=NOISES, seed=seed, **budget),
        "black_box": _broken(square, classifier, pixels, labels, kept, steps=QUERIES, seed=seed, **budget),
        "more": _broken(
            pgd,
            classifier,
            pixels,
            labels,
            lost,
            steps=STEPS,
            seed=seed,
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
    """Which images an attack breaks that is tried on some of them, N."""
    broken = torch.zeros(len(pixels), dtype=torch.bool)
    if len(rows):
        broken[rows] = attack(classifier, pixels[rows], labels[rows], **settings).success.cpu()
    return broken


def _flags(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    pixels = subject.pixels(indices)
    labels = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    found = asdict(masking_flags(subject.classifier, pixels, labels))
    return {name: np.array([value] * len(indices)) for name, value in found.items()}


def _trouble(found: dict[str, NDArray[Any]]) -> tuple[str, ...]:
    """The rules that were broken, image by image."""
    judged = (found["broken_at"] > 0) & (found["broken_at"] <= JUDGED)
    rules = {
        "single": "a single step (FGSM)",
        "black_box": f"Square, which sees no gradients, with {QUERIES} queries",
        "noise": "random noise",
    }
    missed = {name: int(found[name].sum()) for name in rules}
    broken = [
        f"{missed[name]} images that PGD did not break within {JUDGED}/255 were broken by {words}."
        for name, words in rules.items()
        if missed[name]
    ]
    less = int((judged & ~found["more"]).sum())
    return (*broken, *([f"Twice the budget broke {less} images less."] if less else []))
