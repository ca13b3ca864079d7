"""Projected gradient descent: the iterative attack that others are measured by."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import Norm, check_ball, project, steepest_direction, uniform
from deeptroubles.methods.attacks.shared.goal import Goal, Loss
from deeptroubles.methods.attacks.shared.iterate import iterate
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, Positive, Seed
from deeptroubles.methods.targets import Targets, as_batch
from deeptroubles.subject import logits_of


def pgd(
    classifier: Classifier,
    images: Tensor,
    labels: Targets = None,
    *,
    epsilon: Positive = 8 / 255,
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
    """Step along the gradient, and back into the ball of radius epsilon, until the answer changes.

    The first try starts from the clean image, later ones from random points of the ball. Without a target and with the
    margin or the DLR loss, each later try goes for one other class, the likeliest first: the gradient of whichever is
    the likeliest overlooks nearer ones.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: The true class of each image.
        epsilon: Radius of the ball, for pixels in [0, 1].
        norm: `linf`, `l2` or `l1`.
        targets: The class to reach, instead of any but the true one.
        loss: `cross_entropy` (in one try the strongest on the networks we measured), `margin` (in several) or `dlr`.
        steps: Steps of each try.
        step_size: In the units of epsilon. Default: linf: 2.5 epsilon / steps, at least 1/255; l2: epsilon, falling to
            0; l1: epsilon, because there the projection takes most of a step back.
        restarts: How many tries.
        eight_bit: Success must survive rounding to 8 bits, and the images come so.
        seed: Seed of the random starts.
        batch_size: How many images are shown at once.

    Raises:
        UsageError: The norm or a class does not exist, epsilon is negative, or neither labels nor targets are given.

    References:
        A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018; S. Gowal et al., An
        alternative surrogate loss for PGD-based adversarial testing, 2019.
    """
    batch = as_batch(classifier, images)
    check_ball(epsilon, norm)
    goal = Goal.of(classifier, len(batch), labels, targets)
    found, queries = batch.clone(), torch.zeros(len(batch), dtype=torch.long, device=batch.device)
    rows = torch.arange(len(batch), device=batch.device)

    def length(step: int) -> float:
        if step_size is not None:
            return step_size
        if norm == "linf":
            return max(2.5 * epsilon / steps, 1 / 255 if eight_bit else 0.0)
        return epsilon * (1 - step / steps if norm == "l2" else 1)

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
                rival = _ranked_others(classifier, clean, goal.classes[rows], batch_size)[
                    :, attempt % (classifier.classes - 1)
                ]
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


def _ranked_others(classifier: Classifier, clean: Tensor, classes: Tensor, batch_size: int) -> Tensor:
    """The classes other than the true one, the likeliest first, N x K."""
    logits = logits_of(classifier, clean, batch_size)
    return logits.scatter(1, classes[:, None], -torch.inf).argsort(1, descending=True)
