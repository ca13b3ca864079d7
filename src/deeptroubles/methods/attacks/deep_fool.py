"""DeepFool: repeated steps over the closest decision boundary of the linearized network."""

from __future__ import annotations

import torch

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import quantize
from deeptroubles.methods.attacks.shared.boundaries import BEYOND, nearest_boundary
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.network import open_network
from deeptroubles.subject import logits_of


def deep_fool(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    steps: Count = 50,
    candidates: Count = 10,
    overshoot: NonNegative = 0.02,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Step repeatedly just over the closest decision boundary (L2) of the network's linear approximation.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        steps: Maximum number of steps; an image leaves the batch once its prediction has changed.
        candidates: Number of other classes that are considered, the most likely ones.
        overshoot: How far each step goes beyond the boundary, as a share of its length.
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: A class does not exist, or no labels are given.

    References:
        S.-M. Moosavi-Dezfooli, A. Fawzi, P. Frossard, DeepFool: a simple and accurate method to fool deep neural
        networks, CVPR 2016, algorithm 2.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    goal = Goal.of(classifier, len(batch), labels, None)
    network, count = open_network(classifier), min(candidates, classifier.classes - 1)
    found = batch.clone()
    queries = torch.zeros(len(batch), dtype=torch.long, device=batch.device)
    for indices in torch.split(torch.arange(len(batch), device=batch.device), batch_size):
        rows, total = indices, torch.zeros_like(batch[indices])
        for step in range(steps + 1):
            clean, classes = batch[rows], goal.classes[rows]
            # Rounding towards the clean image undoes up to 1/255 per pixel, so the overshoot grows with each step.
            here = (clean + (1 + overshoot * (1 + step * eight_bit)) * total).clamp(0, 1)
            shown = quantize(here, clean) if eight_bit else here
            logits = logits_of(classifier, shown, batch_size)
            queries[rows] += 1
            hit = goal[rows].reached(logits)
            found[rows[hit]] = shown[hit]
            rows, total, here, classes, logits = rows[~hit], total[~hit], here[~hit], classes[~hit], logits[~hit]
            if not len(rows) or step == steps:
                break
            # Where pixels are clipped, steps shrink towards the boundary and may not cross it, so each aims further.
            total = total + nearest_boundary(network, here, classes, logits, count, BEYOND * (1 + step))[0]
            queries[rows] += count
    return scored(classifier, batch, found, goal, "l2", queries, batch_size)
