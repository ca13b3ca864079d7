"""Carlini and Wagner's L2 attack (C&W): a small perturbation by optimization, with a search for the trade-off."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import lp_norm
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import quick_gradient
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, NonNegative, Positive
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of

_INSIDE = 0.999999
"""Keeps the arctanh of black and white pixels finite."""
_DECAY = (0.9, 0.999)
"""Of Adam's mean gradient and mean squared gradient."""
_CHECKS, _PROGRESS = 5, 0.9999
"""After each fifth of the steps, images whose loss is not below this share of the last one are done."""


def carlini_wagner(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    targets: Targets = None,
    steps: Count = 1000,
    search_steps: Count = 9,
    step_size: Positive = 0.01,
    initial_const: Positive = 1e-3,
    confidence: NonNegative = 0.0,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Minimize the squared L2 distance plus a constant times the margin that is missing, with Adam.

    Pixels are the tanh of what is optimized, so that they stay in [0, 1]. The constant is found for each image by
    search: times 10 until the attack succeeds, then by bisection.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        steps: Largest number of steps of Adam for each constant; an image without progress over a fifth of them stops.
        search_steps: Number of constants that are tried.
        step_size: Learning rate of Adam.
        initial_const: The first constant.
        confidence: The margin, in logits, by which the goal must be reached (kappa).
        eight_bit: Return images rounded to 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: A class does not exist, or neither labels nor targets are given.

    References:
        N. Carlini, D. Wagner, Towards evaluating the robustness of neural networks, S&P 2017, sections 5 (f6) and 6.A.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, targets)
    found, best = batch.clone(), torch.full((len(batch),), torch.inf, device=batch.device)
    queries = torch.ones(len(batch), dtype=torch.long, device=batch.device)
    margin = goal.loss(logits_of(classifier, batch, batch_size), "margin")
    wanted = (margin <= confidence).nonzero()[:, 0]
    for rows in torch.split(wanted, batch_size):
        const = torch.full((len(rows),), initial_const, device=batch.device)
        low, high = torch.zeros_like(const), torch.full_like(const, torch.inf)
        for _ in range(search_steps):
            tried = _Descent(classifier, batch[rows], goal[rows], const, confidence, eight_bit=eight_bit)
            queries[rows] += tried.run(steps, step_size)
            hit = tried.distance.isfinite()
            closer = tried.distance < best[rows]
            found[rows[closer]], best[rows[closer]] = tried.nearest[closer], tried.distance[closer]
            low, high = torch.where(hit, low, const), torch.where(hit, const, high)
            const = torch.where(high.isfinite(), (low + high) / 2, const * 10)
    return scored(classifier, batch, found, goal, "l2", queries, batch_size)


class _Descent:
    """The minimization for one constant per image, and the closest image that reached the goal in it."""

    def __init__(
        self, classifier: Classifier, clean: Tensor, goal: Goal, const: Tensor, confidence: float, *, eight_bit: bool
    ) -> None:
        self.clean, self.goal, self.const = clean, goal, const
        self.gradient_at, self.confidence, self.eight_bit = quick_gradient(classifier), confidence, eight_bit
        self.nearest, self.distance = clean.clone(), torch.full_like(const, torch.inf)

    def run(self, steps: int, step_size: float) -> Tensor:
        """Adam from the clean image; the number of queries of each image."""
        rows = torch.arange(len(self.clean), device=self.clean.device)
        queries = torch.zeros_like(rows)
        lowest = before = torch.full_like(self.const, torch.inf)
        point = torch.atanh((2 * self.clean - 1) * _INSIDE)
        mean, square = torch.zeros_like(point), torch.zeros_like(point)
        for step in range(steps):
            loss, gradient = self._loss(rows, point)
            queries[rows] += 1
            lowest = torch.minimum(lowest, loss)
            if step % max(1, steps // _CHECKS) == 0:
                left, before = lowest <= _PROGRESS * before, lowest
                rows, point, gradient, mean, square, lowest, before = (
                    each[left] for each in (rows, point, gradient, mean, square, lowest, before)
                )
                if not len(rows):
                    break
            mean = _DECAY[0] * mean + (1 - _DECAY[0]) * gradient
            square = _DECAY[1] * square + (1 - _DECAY[1]) * gradient.square()
            direction, scale = mean / (1 - _DECAY[0] ** (step + 1)), square / (1 - _DECAY[1] ** (step + 1))
            point = point - step_size * direction / (scale.sqrt() + 1e-8)
        return queries

    def _loss(self, rows: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each image and its gradient; keeps an image that reaches the goal closer than before."""
        clean, goal, const = self.clean[rows], self.goal[rows], self.const[rows]
        squashed = point.tanh()
        here = (squashed + 1) / 2
        shown = as_8_bit(here) if self.eight_bit else here
        logits, ascent = self.gradient_at(shown, goal, "margin", None)
        missing, length = self.confidence - goal.loss(logits, "margin"), lp_norm(shown - clean, "l2")
        closer = goal.clearly_reached(logits) & (missing <= 0) & (length < self.distance[rows])
        self.nearest[rows[closer]], self.distance[rows[closer]] = shown[closer], length[closer]
        short = (const * (missing > 0)).view(-1, 1, 1, 1)
        gradient = (2 * (here - clean) - short * ascent) * (1 - squashed.square()) / 2
        return (here - clean).square().flatten(1).sum(1) + const * missing.clamp(min=0), gradient
