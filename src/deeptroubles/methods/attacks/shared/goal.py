"""The goal of an attack, and its losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.targets import Targets, as_targets

Loss = Literal["cross_entropy", "margin", "dlr"]
LOSSES: tuple[Loss, ...] = ("cross_entropy", "margin", "dlr")

_ROUNDING = 1e-5
"""As a share of the largest logit."""


@dataclass(frozen=True)
class Goal:
    """A class to leave (untargeted) or to reach (targeted). `classes`: one class index per image."""

    classes: Tensor
    targeted: bool

    @classmethod
    def of(cls, classifier: Classifier, count: int, labels: Targets, targets: Targets) -> Goal:
        """Reach the targets if there are any, else leave the labels.

        Raises:
            UsageError: Neither is given, or a class does not exist.
        """
        wanted = labels if targets is None else targets
        if wanted is None:
            raise UsageError("Give the true class of each image as labels, or the class to reach as targets.")
        like = torch.zeros(count, classifier.classes, device=classifier.device)
        return cls(as_targets(classifier, wanted, like), targets is not None)

    def __getitem__(self, rows: Tensor) -> Goal:
        return Goal(self.classes[rows], self.targeted)

    def reached(self, logits: Tensor) -> Tensor:
        """Which images (N) reach the goal. Logits that are not finite count as not reached."""
        hit = logits.argmax(1) == self.classes
        return (hit if self.targeted else ~hit) & logits.isfinite().all(1)

    def clearly_reached(self, logits: Tensor) -> Tensor:
        """Which images (N) reach the goal by more than what rounding changes from one batch to another."""
        return self.reached(logits) & (self.loss(logits, "margin") > rounding(logits))

    def loss(self, logits: Tensor, kind: Loss, rival: Tensor | None = None) -> Tensor:
        """How close each image is to the goal, N; higher is closer.

        `cross_entropy`; `margin`, the lead of the best other class over the class (Carlini and Wagner 2017, f6); `dlr`,
        the margin divided by the difference of the first and third logits, which is invariant to the scale of the
        logits (Croce and Hein 2020, eq. 6; with a target or a rival, eq. 7). With too few classes for it, `dlr` is the
        margin.

        Args:
            logits: N x K.
            kind: The loss.
            rival: Compare with this class instead of the best other class, N (Gowal et al. 2019, "MultiTargeted").

        Raises:
            UsageError: The loss does not exist.
        """
        if kind not in LOSSES:
            raise UsageError(f"There is no loss {kind!r}; choose one of {', '.join(LOSSES)}.")
        sign = -1.0 if self.targeted else 1.0
        classes = self.classes[:, None].clone()  # copied: autograd cannot save a tensor that was made in inference mode
        own = logits.gather(1, classes)[:, 0]
        if kind == "cross_entropy":
            return sign * (logits.logsumexp(1) - own)
        others = logits.scatter(1, classes, -torch.inf)
        other = others.amax(1) if rival is None else logits.gather(1, rival[:, None].clone())[:, 0]
        margin = sign * (other - own)
        aimed = self.targeted or rival is not None
        if kind == "margin" or logits.shape[1] < (4 if aimed else 3):
            return margin
        ordered = logits.sort(1, descending=True).values
        third = (ordered[:, 2] + ordered[:, 3]) / 2 if aimed else ordered[:, 2]
        return margin / (ordered[:, 0] - third).clamp(min=1e-12)


def rounding(logits: Tensor) -> Tensor:
    """By how much logits (N x K) may differ from one batch to another in single precision, N."""
    return _ROUNDING * logits.abs().amax(1)


def other_classes(logits: Tensor, classes: Tensor) -> Tensor:
    """The classes other than one of each image (N), the most likely first: N x (K - 1)."""
    return logits.scatter(1, classes[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]
