"""Auto-PGD: gradient ascent with momentum whose step size halves when the loss stops rising (Croce and Hein, 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, project, steepest_direction, uniform
from deeptroubles.methods.attacks.shared.goal import Goal, Loss
from deeptroubles.methods.attacks.shared.iterate import hold, quick_gradient
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.subject import logits_of

_MOMENTUM = 0.25
"""The weight of the last change in the next one (1 - alpha in the paper)."""


@dataclass(frozen=True)
class Schedule:
    """How long to search, and where.

    Attributes:
        epsilon: Radius of the ball.
        norm: `linf` or `l2`.
        steps: Steps per run.
        rho: The step size halves where fewer than this share of the steps since the last checkpoint raised the loss.
    """

    epsilon: float
    norm: Norm
    steps: int
    rho: float

    def __post_init__(self) -> None:
        check_ball(self.epsilon, self.norm)
        if self.norm == "l1":
            raise UsageError("Auto-PGD supports the norms linf and l2; choose one of them, or use pgd.")

    def checkpoints(self) -> dict[int, int]:
        """The steps after which the step size may change, each with the number of steps since the last one.

        The first after 22% of the steps, then at intervals that shrink by 3% to 6%.
        """
        interval, shrink, least = (max(1, int(share * self.steps)) for share in (0.22, 0.03, 0.06))
        found, step = dict[int, int](), interval
        while step < self.steps:
            found[step] = interval
            interval = max(interval - shrink, least)
            step += interval
        return found


def auto_pgd(
    classifier: Classifier,
    batch: Tensor,
    goal: Goal,
    schedule: Schedule,
    rivals: Sequence[Tensor | None],
    *,
    loss: Loss,
    eight_bit: bool,
    seed: int,
    batch_size: int,
) -> AttackResult:
    """Runs from random points of the ball; an image leaves the batch once it reaches the goal.

    Args:
        classifier: The classifier.
        batch: The unchanged images, N x C x H x W.
        goal: What is wanted.
        schedule: How long to search, and where.
        rivals: One for each run; see `Goal.loss`.
        loss: The loss that is raised.
        eight_bit: Whether the image must reach the goal after rounding to 8 bits.
        seed: Seed of the random starts.
        batch_size: Images per forward pass.
    """
    generator = torch.Generator().manual_seed(seed)
    found, queries = batch.clone(), torch.ones(len(batch), dtype=torch.long, device=batch.device)
    radius = torch.full((len(batch),), schedule.epsilon).to(batch)
    rows = (~goal.reached(logits_of(classifier, batch, batch_size))).nonzero()[:, 0]
    for rival in rivals:
        start = (batch + uniform(batch, radius, schedule.norm, generator)).clamp(0, 1)
        left = []
        for chunk in torch.split(rows, batch_size):
            search = _Search(chunk, batch[chunk], start[chunk], schedule)
            left.append(_run(classifier, search, goal, rival, found, queries, loss=loss, eight_bit=eight_bit))
        rows = torch.cat(left)
        if not len(rows):
            break
    return scored(classifier, batch, found, goal, schedule.norm, queries, batch_size)


def _run(
    classifier: Classifier,
    search: _Search,
    goal: Goal,
    rival: Tensor | None,
    found: Tensor,
    queries: Tensor,
    *,
    loss: Loss,
    eight_bit: bool,
) -> Tensor:
    """One run of a few images, which writes into `found` and `queries`; the images that did not reach the goal."""
    gradient_at, checkpoints = quick_gradient(classifier), search.schedule.checkpoints()
    for step in range(search.schedule.steps + 1):
        rows, wanted = search.rows, goal[search.rows]
        against = None if rival is None else rival[rows]
        logits, gradient = gradient_at(search.here, wanted, loss, against)
        reaching = wanted.reached(logits)
        queries[rows] += 1 + (reaching & eight_bit)
        hit, kept = hold(classifier, reaching, search.here, search.clean, wanted, eight_bit=eight_bit)
        found[rows[hit]] = kept
        search.observe(wanted.loss(logits, loss, against), gradient)
        search.release(hit)
        if not len(search.rows) or step == search.schedule.steps:
            break
        if step in checkpoints:
            search.adapt(checkpoints[step])
        search.move()
    return search.rows


class _Search:
    """The state of the images that are still searched for; every tensor has one entry per image."""

    def __init__(self, rows: Tensor, clean: Tensor, start: Tensor, schedule: Schedule) -> None:
        self.schedule, self.moves = schedule, 0
        self.rows, self.clean = rows, clean
        self.here = self.before = self.best = start
        self.gradient = self.best_gradient = torch.zeros_like(start)
        self.length = torch.full((len(rows),), 2 * schedule.epsilon, device=clean.device)
        self.loss, self.best_loss = self.length + torch.inf, self.length - torch.inf
        self.best_before, self.rises = self.best_loss, torch.zeros_like(self.length)
        self.halved = torch.ones_like(self.length, dtype=torch.bool)

    def observe(self, loss: Tensor, gradient: Tensor) -> None:
        """Note the loss of the current images and its gradient."""
        self.rises = self.rises + (loss > self.loss)
        better = loss > self.best_loss
        self.best = _where(better, self.here, self.best)
        self.best_gradient = _where(better, gradient, self.best_gradient)
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.loss, self.gradient = loss, gradient

    def release(self, done: Tensor) -> None:
        """Keep only the images that are not done."""
        if done.any():
            tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
            vars(self).update({name: value[~done] for name, value in tensors.items()})

    def adapt(self, since: int) -> None:
        """Halve the step size of images without progress in the last moves, and start these from their best point."""
        stalled = ~self.halved & (self.best_loss <= self.best_before)
        self.halved = (self.rises < self.schedule.rho * since) | stalled
        self.length = torch.where(self.halved, self.length / 2, self.length)
        self.here = _where(self.halved, self.best, self.here)
        self.gradient = _where(self.halved, self.best_gradient, self.gradient)
        self.best_before, self.rises = self.best_loss, torch.zeros_like(self.rises)

    def move(self) -> None:
        """A step along the gradient, and a share of the last change, inside the ball and the range of pixels."""
        ascent = self.length.view(-1, 1, 1, 1) * steepest_direction(self.gradient, self.schedule.norm)
        change = self._inside(self.here + ascent) - self.here
        if self.moves:
            change = (1 - _MOMENTUM) * change + _MOMENTUM * (self.here - self.before)
        self.here, self.before = self._inside(self.here + change), self.here
        self.moves += 1

    def _inside(self, images: Tensor) -> Tensor:
        radius = torch.full_like(self.length, self.schedule.epsilon)
        return (self.clean + project(images - self.clean, radius, self.schedule.norm)).clamp(0, 1)


def _where(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, 1, 1, 1), first, second)
