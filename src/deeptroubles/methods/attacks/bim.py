"""Basic iterative method: small gradient-sign steps from the clean image."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.pgd import pgd
from deeptroubles.methods.attacks.shared.result import AttackResult
from deeptroubles.methods.parameters import Count, Positive
from deeptroubles.methods.targets import Targets


def bim(
    classifier: Classifier,
    images: Tensor,
    labels: Targets = None,
    *,
    epsilon: Positive = 8 / 255,
    targets: Targets = None,
    steps: Count | None = None,
    eight_bit: bool = True,
    batch_size: Count = 32,
) -> AttackResult:
    """Step by 1/255 along the sign of the gradient of the cross-entropy, clipped to the ball of radius epsilon (linf).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: The true class of each image.
        epsilon: Radius of the ball, for pixels in [0, 1].
        targets: The class to reach, instead of any but the true one (the paper's "least likely class" is one).
        steps: How many. Default: as the paper has it, min(255 epsilon + 4, 1.25 * 255 epsilon).
        eight_bit: Success must survive rounding to 8 bits, and the images come so.
        batch_size: How many images are shown at once.

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
