"""Basic iterative method (BIM): small gradient-sign steps from the clean image."""

from __future__ import annotations

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.methods.targets import Images, Targets


def bim(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    epsilon: NonNegative = 8 / 255,
    targets: Targets = None,
    steps: Count | None = None,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Take gradient-sign steps of 1/255 on the cross-entropy, clipped to the linf ball of radius epsilon.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: True class, for all images or one each.
        epsilon: Radius of the ball, for pixels in [0, 1].
        targets: Targeted attack: the class to reach (in the paper, the least likely one). Default: any class but the
            true one.
        steps: Number of steps. Default: as in the paper, min(255 epsilon + 4, 1.25 * 255 epsilon).
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: As for `pgd`.

    References:
        A. Kurakin, I. Goodfellow, S. Bengio, Adversarial examples in the physical world, ICLR workshop 2017.
    """
    levels = 255 * epsilon
    count = max(1, round(min(levels + 4, 1.25 * levels))) if steps is None else steps
    return pgd(
        classifier,
        images,
        labels,
        epsilon=epsilon,
        targets=targets,
        loss="cross_entropy",
        steps=count,
        step_size=1 / 255,
        eight_bit=eight_bit,
        batch_size=batch_size,
    )
