"""Momentum iterative FGSM: gradients are averaged over steps, which makes the attack transfer to other networks."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import check_ball, lp_norm, project
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import iterate
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.methods.targets import Images, Targets


def mi_fgsm(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    targets: Targets = None,
    steps: Count = 10,
    decay: NonNegative = 1.0,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Take steps of epsilon / steps along the sign of the accumulated gradient of the cross-entropy (linf).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        steps: Number of steps.
        decay: Decay factor of earlier gradients (mu in the paper).
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: Epsilon is negative, a class does not exist, or neither labels nor targets are given.

    References:
        Y. Dong et al., Boosting adversarial attacks with momentum, CVPR 2018, algorithm 1.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    check_ball(epsilon, "linf")
    goal = Goal.of(classifier, len(batch), labels, targets)
    velocity, radius = torch.zeros_like(batch), torch.full((len(batch),), epsilon, device=batch.device)

    def update(_step: int, rows: Tensor, here: Tensor, gradient: Tensor) -> Tensor:
        velocity[rows] = decay * velocity[rows] + gradient / lp_norm(gradient, "l1").clamp(min=1e-30).view(-1, 1, 1, 1)
        moved = here + epsilon / steps * velocity[rows].sign() - batch[rows]
        return batch[rows] + project(moved, radius[rows], "linf")

    found, _, queries = iterate(
        classifier,
        batch,
        batch,
        goal,
        update,
        steps=steps,
        loss="cross_entropy",
        eight_bit=eight_bit,
        batch_size=batch_size,
    )
    return scored(classifier, batch, found, goal, "linf", queries, batch_size)
