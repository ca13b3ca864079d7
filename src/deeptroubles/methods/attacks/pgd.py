"""Projected gradient descent (PGD): the standard iterative attack."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, project, steepest_direction, uniform
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal, Loss, other_classes
from deeptroubles.methods.attacks.shared.iterate import iterate
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, NonNegative, Positive, Seed
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.subject import logits_of


def pgd(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    targets: Targets = None,
    loss: Loss = "cross_entropy",
    steps: Count = 40,
    step_size: Positive | None = None,
    restarts: Count = 1,
    eight_bit: bool = True,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> AttackResult:
    """Take gradient steps, projected onto the ball of radius epsilon, until the prediction changes.

    The first run starts from the clean image, restarts from random points of the ball. In an untargeted attack with the
    margin or the DLR loss, each restart aims at one other class, the most likely first, because the gradient towards
    the currently most likely class misses closer ones.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf`, `l2` or `l1`.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        loss: `cross_entropy` (the strongest in one run on the networks we measured), `margin` (the strongest with
            restarts) or `dlr`.
        steps: Steps per run.
        step_size: In the units of epsilon. Default: linf: 2.5 epsilon / steps (with `eight_bit` at least 1/255); l2:
            epsilon, decreasing to 0; l1: epsilon, decreasing to 0 in the second half of the steps.
        restarts: Number of runs, including the first.
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        seed: Seed of the random starts.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: The norm or a class does not exist, epsilon is negative, or neither labels nor targets are given.

    References:
        A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018; S. Gowal et al., An
        alternative surrogate loss for PGD-based adversarial testing, 2019.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    check_ball(epsilon, norm)
    goal = Goal.of(classifier, len(batch), labels, targets)
    found, queries = batch.clone(), torch.zeros(len(batch), dtype=torch.long, device=batch.device)
    rows = torch.arange(len(batch), device=batch.device)

    def length(step: int) -> float:
        if step_size is not None:
            return step_size
        if norm == "linf":
            return max(2.5 * epsilon / steps, 1 / 255 if eight_bit else 0.0)
        left = 1 - step / steps
        return epsilon * (left if norm == "l2" else min(1, 2 * left))

    for attempt in range(restarts):
        clean, radius = batch[rows], torch.full((len(rows),), epsilon, device=batch.device)

        def update(
            step: int, inside: Tensor, here: Tensor, gradient: Tensor, clean: Tensor = clean, radius: Tensor = radius
        ) -> Tensor:
            middle = clean[inside]
            return middle + project(
                here + length(step) * steepest_direction(gradient, norm) - middle, radius[inside], norm
            )

        start, rival = clean, None
        if attempt:
            generator = torch.Generator().manual_seed(seed + attempt)
            start = (clean + uniform(clean, radius, norm, generator)).clamp(0, 1)
            if not goal.targeted:
                others = other_classes(logits_of(classifier, clean, batch_size), goal.classes[rows])
                rival = others[:, attempt % (classifier.classes - 1)]
        images_found, reached, shown = iterate(
            classifier,
            clean,
            start,
            goal[rows],
            update,
            steps=steps,
            loss=loss,
            eight_bit=eight_bit,
            batch_size=batch_size,
            rival=rival,
        )
        found[rows], queries[rows] = images_found, queries[rows] + shown
        rows = rows[~reached]
        if not len(rows):
            break
    return scored(classifier, batch, found, goal, norm, queries, batch_size)
