"""Fast gradient sign method (FGSM): one step of length epsilon."""

from __future__ import annotations

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.shared.balls import Norm
from deeptroubles.methods.attacks.shared.goal import Loss
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.methods.targets import Images, Targets


def fgsm(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    norm: Norm = "linf",
    targets: Targets = None,
    loss: Loss = "cross_entropy",
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Take one step of length epsilon along the sign of the gradient (for l2 and l1: along the gradient).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Step length, for pixels in [0, 1].
        norm: `linf`, `l2` or `l1`.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        loss: `cross_entropy` (as published), `margin` or `dlr`.
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: As for `pgd`.

    References:
        I. Goodfellow, J. Shlens, C. Szegedy, Explaining and harnessing adversarial examples, ICLR 2015.
    """
    return pgd(
        classifier,
        images,
        labels,
        epsilon=epsilon,
        norm=norm,
        targets=targets,
        loss=loss,
        steps=1,
        step_size=epsilon,
        eight_bit=eight_bit,
        batch_size=batch_size,
    )
