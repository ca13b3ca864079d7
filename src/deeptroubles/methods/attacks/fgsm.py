"""Fast gradient sign method: one step of epsilon, the first attack that was fast."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.shared.balls import Norm
from deeptroubles.methods.attacks.shared.goal import Loss
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.parameters import Count, Positive
from deeptroubles.methods.targets import Targets


def fgsm(
    classifier: Classifier,
    images: Tensor,
    labels: Targets = None,
    *,
    epsilon: Positive = 8 / 255,
    norm: Norm = "linf",
    targets: Targets = None,
    loss: Loss = "cross_entropy",
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Go one step of epsilon along the sign of the gradient (or along the gradient, for another norm).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: The true class of each image.
        epsilon: Length of the step, for pixels in [0, 1].
        norm: `linf`, `l2` or `l1`.
        targets: The class to reach, instead of any but the true one.
        loss: `cross_entropy` (as published), `margin` or `dlr`.
        eight_bit: Success must survive rounding to 8 bits, and the images come so.
        batch_size: How many images are shown at once.

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
