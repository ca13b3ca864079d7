"""Fast minimum-norm attack (FMN): the smallest perturbation in any norm that changes the prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, lp_norm, project, steepest_direction
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal, rounding
from deeptroubles.methods.attacks.shared.iterate import quick_gradient
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Positive, Share
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of

_DUAL: dict[Norm, Norm] = {"linf": "l1", "l2": "l2", "l1": "linf"}
"""The dual norm of each norm."""
_LAST_GAMMA = 0.001


def fmn(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    norm: Norm = "linf",
    targets: Targets = None,
    steps: Count = 100,
    step_size: Positive = 1.0,
    gamma: Share = 0.05,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Follow the gradient in a ball that shrinks while the attack succeeds and grows while it does not.

    Until the first success, the radius of the ball is the distance at which the network's linear approximation changes
    its prediction. Steps and the changes of the radius decrease along a cosine.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        norm: The norm that is minimized: `linf`, `l2` or `l1`.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        steps: Number of steps; more find smaller perturbations.
        step_size: Length (L2) of the first step, for pixels in [0, 1]; the last is a hundredth of it.
        gamma: Relative change of the radius in the first step.
        eight_bit: Return images rounded to 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: The norm or a class does not exist, or neither labels nor targets are given.

    References:
        M. Pintor et al., Fast minimum-norm adversarial attacks through adaptive norm constraints, NeurIPS 2021,
        algorithm 1.
    """
    check_ball(0, norm)
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, targets)
    found = batch.clone()
    rows = (~goal.reached(logits_of(classifier, batch, batch_size))).nonzero()[:, 0]
    queries = torch.ones(len(batch), dtype=torch.long, device=batch.device)
    queries[rows] += steps + 1
    for chunk in torch.split(rows, batch_size):
        found[chunk] = _shrink(
            classifier, batch[chunk], goal[chunk], norm, steps, step_size, gamma, eight_bit=eight_bit
        )
    return scored(classifier, batch, found, goal, norm, queries, batch_size)


def _shrink(
    classifier: Classifier,
    clean: Tensor,
    goal: Goal,
    norm: Norm,
    steps: int,
    step_size: float,
    gamma: float,
    *,
    eight_bit: bool,
) -> Tensor:
    """The closest images that reached the goal; the clean image where none did."""
    gradient_at, here, nearest = quick_gradient(classifier), clean, clean.clone()
    radius = best = torch.full((len(clean),), torch.inf, device=clean.device)
    farthest = lp_norm(torch.maximum(clean, 1 - clean), norm)
    for step in range(steps + 1):
        shown = as_8_bit(here) if eight_bit else here
        logits, gradient = gradient_at(shown, goal, "margin", None)
        hit, length = goal.clearly_reached(logits), lp_norm(shown - clean, norm)
        closer = hit & (length < best)
        nearest[closer], best = shown[closer], torch.where(closer, length, best)

        fade = (1 + math.cos(math.pi * step / steps)) / 2
        change = _LAST_GAMMA + (gamma - _LAST_GAMMA) * fade
        missing = 2 * rounding(logits) - goal.loss(logits, "margin")
        gap = missing / lp_norm(gradient, _DUAL[norm]).clamp(min=1e-12)
        grown = torch.where(best.isfinite(), radius * (1 + change), lp_norm(here - clean, norm) + gap)
        radius = torch.where(hit, torch.minimum(radius * (1 - change), best), grown).clamp(max=farthest)
        ascent = step_size * (0.01 + 0.99 * fade) * steepest_direction(gradient, "l2")
        here = (clean + project(here + ascent - clean, radius, norm)).clamp(0, 1)
    return nearest
