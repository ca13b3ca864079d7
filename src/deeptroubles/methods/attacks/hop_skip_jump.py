"""HopSkipJump: a black-box attack along the decision boundary that uses only predicted classes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import lp_norm, steepest_direction
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

Decide = Callable[[Tensor, Tensor], Tensor]
"""`decide(shown, rows)`: whether modified versions of the images `rows` reach their goals."""
FIRST_RADIUS = 0.1
"""Distance of the first queries from the start (the paper's first delta)."""
STEP_HALVINGS = 20
"""How often a step is halved before it is given up."""
OVERSHOOTS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Relative extensions of the last perturbation, tried in turn until one succeeds after rounding to 8 bits."""


def hop_skip_jump(
    classifier: Classifier,
    images: Images,
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
    """Estimate the boundary's normal from predictions around it, step along it, and bisect back to the boundary.

    Each image starts from the closest image (L2) that reaches the goal, among the others of the batch, else among
    `noises` images of uniform noise; where there is none, the attack fails. All images advance together and use the
    same random directions, so an image's path depends on the other images through its start alone.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        steps: Number of steps; more find smaller perturbations.
        init_num_evals: Queries for the first estimate of the normal (B_0 in the paper); step t takes B_0 sqrt(t).
        noises: Number of noise images that are tried as a start.
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them. Queries on
            the way are in single precision, because their images are closer to each other than 8-bit images can be.
        seed: Seed of the noise.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: A class does not exist, or neither labels nor targets are given.

    References:
        J. Chen, M. I. Jordan, M. J. Wainwright, HopSkipJumpAttack: a query-efficient decision-based attack, IEEE S&P
        2020, algorithm 2 (which returns the last image; here the closest is returned).
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, targets)
    generator = torch.Generator().manual_seed(seed)
    queries = torch.zeros(len(batch), dtype=torch.long, device=batch.device)

    def decide(shown: Tensor, rows: Tensor) -> Tensor:
        queries.index_add_(0, rows, torch.ones_like(rows))
        return goal[rows].reached(logits_of(classifier, shown, batch_size))

    start = _starts(classifier, batch, goal, noises, queries, generator, batch_size)
    away = (start != batch).flatten(1).any(1)
    rows = away.nonzero()[:, 0]  # the others reach the goal unchanged, or have no start
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
    """For each image the closest that reaches the goal: itself, another of the batch, or noise; else itself."""
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
    """Bisection for the boundary between the clean image and one that reaches the goal, to a relative d^-1.5."""
    low, high = torch.zeros(len(clean), device=clean.device), torch.ones(len(clean), device=clean.device)
    # Single precision resolves 23 bisections.
    for _ in range(min(23, math.ceil(1.5 * math.log2(clean[0].numel())))):
        middle = (low + high) / 2
        hit = decide(clean + middle.view(-1, 1, 1, 1) * (there - clean), rows)
        low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
    # Where no closer image reached the goal, the image stays the same to the last bit.
    return torch.where((high < 1).view(-1, 1, 1, 1), clean + high.view(-1, 1, 1, 1) * (there - clean), there)


def _normal(
    here: Tensor, rows: Tensor, radius: Tensor, count: int, decide: Decide, generator: torch.Generator, batch_size: int
) -> Tensor:
    """The boundary's unit normal, towards the goal: random directions weighted by their predictions (eq. 16)."""
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
    # The mean is subtracted so that an off-center boundary does not bias the estimate, unless all predictions agree:
    # then nothing would be left.
    return steepest_direction(torch.where(mean.abs() < 1, signed - mean * summed, signed), "l2")


def _jump(here: Tensor, rows: Tensor, direction: Tensor, length: Tensor, decide: Decide) -> Tensor:
    """Step along the direction, halving the step until the goal is reached; images that never reach it stay."""
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
    """The shortest 8-bit perturbation in the direction found that reaches the goal, else the start, which is 8-bit."""
    found, open_ = start.clone(), torch.arange(len(clean), device=clean.device)
    for overshoot in OVERSHOOTS:
        moved = (1 + overshoot) * (nearest[open_] - clean[open_])
        tried = as_8_bit((clean[open_] + moved).clamp(0, 1))
        hit = decide(tried, rows[open_])
        found[open_[hit]], open_ = tried[hit], open_[~hit]
        if not len(open_):
            break
    return found
