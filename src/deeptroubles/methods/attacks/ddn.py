"""Decoupled direction and norm (DDN): the smallest L2 perturbation that changes the prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import lp_norm, quantize, steepest_direction
from deeptroubles.methods.attacks.shared.boundaries import nearest_boundary
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import loss_gradient
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, Positive, Share
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.network import Network, open_network
from deeptroubles.subject import logits_of

_CANDIDATES = 10
"""The number of other classes that are considered, the most likely ones."""
_HALVINGS = 8
"""Bisection steps between the clean image and the closest success, at the end."""


def ddn(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    targets: Targets = None,
    steps: Count = 100,
    init_norm: Positive = 1.0,
    gamma: Share = 0.05,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Follow the gradient on a sphere that shrinks while the attack succeeds and grows while it does not.

    The gradient is that of the margin, whose direction is exact near the boundary (in the paper: the cross-entropy). In
    the first half of the steps the margin is to the class with the closest boundary in the network's linear
    approximation, which often is not the most likely other class; after that, to the most likely other class.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        steps: Number of steps; more find smaller perturbations.
        init_norm: Radius of the first sphere (L2), for pixels in [0, 1].
        gamma: Relative change of the radius in each step.
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: A class does not exist, or neither labels nor targets are given.

    References:
        J. Rony et al., Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and defenses,
        CVPR 2019, algorithm 1. The choice of the other class and the bisection at the end are ours.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, targets)
    network, found = open_network(classifier), []
    for clean, classes in zip(torch.split(batch, batch_size), torch.split(goal.classes, batch_size), strict=True):
        part = Goal(classes, goal.targeted)
        nearest = _shrink(network, clean, part, steps, init_norm, gamma, eight_bit=eight_bit)
        found.append(_bisect(classifier, clean, nearest, part, eight_bit=eight_bit))
    queries = torch.full(
        (len(batch),),
        steps + 1 + _HALVINGS + (0 if goal.targeted else 1 + min(_CANDIDATES, classifier.classes - 1)),
        device=batch.device,
    )
    return scored(classifier, batch, torch.cat(found), goal, "l2", queries, batch_size)


def _shrink(
    network: Network, clean: Tensor, goal: Goal, steps: int, init_norm: float, gamma: float, *, eight_bit: bool
) -> Tensor:
    """The closest image that reached the goal; the clean image where none did."""
    perturbation, nearest, rival = torch.zeros_like(clean), clean.clone(), None
    if not goal.targeted:
        count = min(_CANDIDATES, network.classifier.classes - 1)
        rival = nearest_boundary(network, clean, goal.classes, network.record(clean, []).logits, count)[1]
    radius = torch.full((len(clean),), init_norm, device=clean.device)
    best = torch.full_like(radius, torch.inf)
    for step in range(steps + 1):
        here = clean + perturbation
        shown = quantize(here, clean) if eight_bit else here
        logits, gradient = loss_gradient(network, shown, goal, "margin", rival if step < steps / 2 else None)
        hit, length = goal.reached(logits), lp_norm(shown - clean, "l2")
        closer = hit & (length < best)
        nearest[closer], best = shown[closer], torch.where(closer, length, best)
        alpha = 0.01 + 0.99 * (1 + math.cos(math.pi * step / max(1, steps))) / 2
        moved = perturbation + alpha * radius.view(-1, 1, 1, 1) * steepest_direction(gradient, "l2")
        radius = radius * torch.where(hit, 1 - gamma, 1 + gamma)
        perturbation = (clean + steepest_direction(moved, "l2") * radius.view(-1, 1, 1, 1)).clamp(0, 1) - clean
    return nearest


def _bisect(classifier: Classifier, clean: Tensor, nearest: Tensor, goal: Goal, *, eight_bit: bool) -> Tensor:
    """Bisection between the clean image and the success, keeping the goal reached."""
    found, low, high = (
        nearest.clone(),
        torch.zeros(len(clean), device=clean.device),
        torch.ones(len(clean), device=clean.device),
    )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        tried = clean + middle.view(-1, 1, 1, 1) * (nearest - clean)
        tried = quantize(tried, clean) if eight_bit else tried
        hit = goal.reached(logits_of(classifier, tried, len(tried)))
        found[hit] = tried[hit]
        low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
    return found
