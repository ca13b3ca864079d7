"""HopSkipJump: walk along the boundary towards the image; it needs no more than the classifier's decisions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import lp_norm, steepest_direction
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.methods.targets import Targets, as_batch
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

Decide = Callable[[Tensor, Tensor], Tensor]
"""`decide(shown, rows)`: whether what is shown, made from the images `rows`, reaches their goals."""
FIRST_RADIUS = 0.1
"""How far from the start the first decisions are asked for (the paper's first delta)."""
STEP_HALVINGS = 20
"""How often a step is halved before the image stays where it is for this time."""
OVERSHOOTS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""By which shares the last perturbation is lengthened until it survives rounding to 8 bits."""


def hop_skip_jump(
    classifier: Classifier,
    images: Tensor,
    labels: Targets = None,
    *,
    targets: Targets = None,
    steps: Count = 32,
    init_num_evals: Count = 100,
    noises: Count = 100,
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 256,
) -> AttackResult:
    """Estimate which way the boundary faces from decisions around it, step that way, go straight back to the boundary.

    Each image starts from the nearest image (L2) that is answered as wanted, among the others of the batch, else among
    `noises` images of uniform noise; where there is none, the attack has failed. All images advance together and look
    in the same random directions, so that the course of an image depends on the others by its start alone.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: The true class of each image.
        targets: The class to reach, instead of any but the true one.
        steps: How many; more find smaller perturbations.
        init_num_evals: The paper's B_0: decisions around the image in the first step; step t takes B_0 sqrt(t).
        noises: How many noise images are tried as a start.
        eight_bit: Success must survive rounding to 8 bits, and the images come so. The decisions on the way are on
            images in single precision: they lie nearer to each other than 8-bit images can.
        seed: Seed of the noise.
        batch_size: How many images are shown at once.

    Raises:
        UsageError: A class does not exist, or neither labels nor targets are given.

    References:
        J. Chen, M. I. Jordan, M. J. Wainwright, HopSkipJumpAttack: a query-efficient decision-based attack, IEEE S&P
        2020, algorithm 2 (there the last image is the result; here the nearest).
    """
    batch = as_batch(classifier, images)
    goal = Goal.of(classifier, len(batch), labels, targets)
    generator = torch.Generator().manual_seed(seed)
    queries = torch.zeros(len(batch), dtype=torch.long, device=batch.device)

    def decide(shown: Tensor, rows: Tensor) -> Tensor:
        queries.index_add_(0, rows, torch.ones_like(rows))
        return goal[rows].reached(logits_of(classifier, shown, batch_size))

    start = _starts(classifier, batch, goal, noises, queries, generator, batch_size)
    away = (start != batch).flatten(1).any(1)
    rows = away.nonzero()[:, 0]  # the others are answered as wanted from the start, or have no start
    if len(rows):
        clean = batch[rows]
        here, nearest = _to_boundary(clean, start[rows], rows, decide), start[rows]
        for step in track(range(steps), "Hopping"):
            distance = lp_norm(here - clean, "l2")
            radius = distance / clean[0].numel() if step else torch.full_like(distance, FIRST_RADIUS)
            count = round(init_num_evals * math.sqrt(step + 1))
            direction = _normal(here, rows, radius, count, decide, generator, batch_size)
            here = _jump(here, rows, direction, distance / math.sqrt(step + 1), decide)
            here = _to_boundary(clean, here, rows, decide)
            closer = lp_norm(here - clean, "l2") < lp_norm(nearest - clean, "l2")
            nearest[closer] = here[closer]
        start[rows] = _rounded(clean, nearest, start[rows], rows, decide) if eight_bit else nearest
    return scored(classifier, batch, start, goal, "l2", queries, batch_size)


def _starts(
    classifier: Classifier,
    batch: Tensor,
    goal: Goal,
    noises: int,
    queries: Tensor,
    generator: torch.Generator,
    batch_size: int,
) -> Tensor:
    """For each image the nearest that is answered as wanted: itself, another of the batch, or noise; else itself."""
    found, missing = batch.clone(), torch.ones(len(batch), dtype=torch.bool, device=batch.device)
    for pool in (batch, torch.randint(0, 256, (noises, *batch.shape[1:]), generator=generator).to(batch) / 255):
        if not missing.any():
            break
        logits = logits_of(classifier, pool, batch_size)
        queries[missing] += 1 if pool is batch else noises
        for i in missing.nonzero()[:, 0]:
            one = Goal(goal.classes[i].expand(len(pool)), goal.targeted)
            far = torch.where(one.reached(logits), lp_norm(pool - batch[i], "l2"), torch.inf)
            if far.isfinite().any():
                found[i], missing[i] = pool[far.argmin()], False
    return found


def _to_boundary(clean: Tensor, there: Tensor, rows: Tensor, decide: Decide) -> Tensor:
    """The point on the way from the clean image where the goal is just reached: halved until d^-1.5 of it is left."""
    low, high = torch.zeros(len(clean), device=clean.device), torch.ones(len(clean), device=clean.device)
    # Single precision tells no more than 23 halvings apart.
    for _ in range(min(23, math.ceil(1.5 * math.log2(clean[0].numel())))):
        middle = (low + high) / 2
        hit = decide(clean + middle.view(-1, 1, 1, 1) * (there - clean), rows)
        low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
    # Where nothing nearer reached the goal the image stays as it is, to the last bit.
    return torch.where((high < 1).view(-1, 1, 1, 1), clean + high.view(-1, 1, 1, 1) * (there - clean), there)


def _normal(
    here: Tensor, rows: Tensor, radius: Tensor, count: int, decide: Decide, generator: torch.Generator, batch_size: int
) -> Tensor:
    """Which way leads into the wanted side, of norm 1: directions weighted with their decisions (eq. 16)."""
    signed, summed, decided = torch.zeros_like(here), torch.zeros_like(here), torch.zeros_like(radius)
    together = max(1, batch_size // len(here))
    for first in range(0, count, together):
        several = min(together, count - first)
        noise = torch.stack([torch.randn(here.shape[1:], generator=generator) for _ in range(several)]).to(here)
        moves = steepest_direction(noise, "l2")[:, None] * radius.view(1, -1, 1, 1, 1)
        shown = (here + moves).clamp(0, 1)
        hit = decide(shown.flatten(0, 1), rows.repeat(several)).view(several, -1) * 2.0 - 1
        moved = shown - here
        signed += torch.einsum("mn,mnchw->nchw", hit, moved)
        summed, decided = summed + moved.sum(0), decided + hit.sum(0)
    mean = (decided / count).view(-1, 1, 1, 1)
    # The mean is subtracted so that a boundary that is not quite in the middle tilts nothing; where all decisions
    # are the same, nothing would be left.
    return steepest_direction(torch.where(mean.abs() < 1, signed - mean * summed, signed), "l2")


def _jump(here: Tensor, rows: Tensor, direction: Tensor, length: Tensor, decide: Decide) -> Tensor:
    """Go along the direction, half as far each time until the goal is reached; images that never reach it stay."""
    landed, open_ = here.clone(), torch.arange(len(here), device=here.device)
    for _ in range(STEP_HALVINGS):
        tried = (here[open_] + length[open_].view(-1, 1, 1, 1) * direction[open_]).clamp(0, 1)
        hit = decide(tried, rows[open_])
        landed[open_[hit]], open_ = tried[hit], open_[~hit]
        if not len(open_):
            break
        length = length / 2
    return landed


def _rounded(clean: Tensor, nearest: Tensor, start: Tensor, rows: Tensor, decide: Decide) -> Tensor:
    """The shortest 8-bit perturbation along the one found that reaches the goal, else the start, which is in 8 bits."""
    found, open_ = start.clone(), torch.arange(len(clean), device=clean.device)
    for overshoot in OVERSHOOTS:
        moved = (1 + overshoot) * (nearest[open_] - clean[open_])
        tried = (clean[open_] + (moved * 255).round() / 255).clamp(0, 1)
        hit = decide(tried, rows[open_])
        found[open_[hit]], open_ = tried[hit], open_[~hit]
        if not len(open_):
            break
    return found
