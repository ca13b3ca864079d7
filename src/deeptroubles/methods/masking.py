"""Gradient masking: whether gradients reach the pixels; if not, failed attacks mean little and maps nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import NoGradientError
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import loss_gradient
from deeptroubles.methods.targets import Targets, as_batch
from deeptroubles.network import open_network
from deeptroubles.subject import logits_of

STEP = 1 / 1020
"""A quarter of an 8-bit level: below the resolution of a quantized input."""
WITHOUT_GRADIENTS = "use occlusion or rise, or among attacks square or hop_skip_jump, which need no gradients"
"""What to do where gradients do not reach the pixels."""


@dataclass(frozen=True)
class MaskingFlags:
    """Shares of the images.

    Attributes:
        zero_gradient: Images on which the gradient of the margin is exactly 0 everywhere.
        not_finite: Images on which it is infinite or not a number somewhere.
        saturated: Images on which the gradient of the cross-entropy is 0 (or not a number) and that of the margin is
            not: the logits are so large that single precision rounds the probabilities to 0 and 1.
        quantized: Images with a gradient whose logits do not change after a small step along it.
        misleading: Images on which that step lowers the margin, although the gradient says that it rises.
    """

    zero_gradient: float
    not_finite: float
    saturated: float
    quantized: float
    misleading: float

    def raised(self) -> list[str]:
        """One sentence per flag that is raised."""
        sentences = {
            f"On {self.zero_gradient:.0%} of the images the gradient is zero.": self.zero_gradient,
            f"On {self.not_finite:.0%} of the images the gradient is not a finite number.": self.not_finite,
            f"On {self.saturated:.0%} of the images the cross-entropy has no gradient: the logits are too large for "
            "single precision.": self.saturated,
            f"On {self.quantized:.0%} of the images a small step along the gradient changes no logit: the input may be "
            "quantized.": self.quantized,
            f"On {self.misleading:.0%} of the images a small step along the gradient lowers the loss that it should "
            "raise.": self.misleading,
        }
        return [sentence for sentence, seen in sentences.items() if seen]


def masking_flags(classifier: Classifier, images: Tensor, labels: Targets) -> MaskingFlags:
    """Look for gradients that do not reach the pixels, or say nothing about the logits.

    Two other forms, outputs that are probabilities and outputs that change from call to call, are refused when a
    `Classifier` is made.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        labels: The class that an attack would leave, one per image.

    References:
        A. Athalye, N. Carlini, D. Wagner, Obfuscated gradients give a false sense of security, ICML 2018; F. Croce, M.
        Hein, AutoAttack's checks; N. Carlini et al., On evaluating adversarial robustness, 2019.
    """
    batch = as_batch(classifier, images)
    goal = Goal.of(classifier, len(batch), labels, None)
    network = open_network(classifier)
    _, margin = loss_gradient(network, batch, goal, "margin")
    _, entropy = loss_gradient(network, batch, goal, "cross_entropy")
    none, wild = is_zero(margin), ~_is_finite(margin)
    flat = is_zero(entropy) | ~_is_finite(entropy)
    usable = ~(none | wild)
    before = logits_of(classifier, batch)
    after = logits_of(classifier, (batch + STEP * margin.sign()).clamp(0, 1))
    still = (after == before).all(1) & usable
    lower = (goal.loss(after, "margin") < goal.loss(before, "margin")) & usable
    return MaskingFlags(_share(none), _share(wild), _share(flat & usable), _share(still), _share(lower))


def refuse_zero(classifier: Classifier, gradients: Tensor, of: str = "the pixels") -> Tensor:
    """The same gradients (N x ...), unless they are zero, or no finite numbers, everywhere on every image.

    Raises:
        NoGradientError: They are: nothing can be seen in such a map.
    """
    if gradients.numel() and ((gradients == 0) | ~gradients.isfinite()).all():
        what = "zero (as in a network that rounds its input)" if is_zero(gradients).all() else "not finite"
        gradient = f"The gradient of {classifier.name} with respect to {of}"
        raise NoGradientError(f"{gradient} is {what}, so there is no map; {WITHOUT_GRADIENTS}.")
    return gradients


def is_zero(gradients: Tensor) -> Tensor:
    """Which images' gradients (N x ...) are exactly 0 everywhere, N."""
    return (gradients == 0).flatten(1).all(1)


def _is_finite(gradients: Tensor) -> Tensor:
    return gradients.flatten(1).isfinite().all(1)


def _share(images: Tensor) -> float:
    return float(images.float().mean())
