"""Gradient masking: signs that gradients are uninformative, so that a failed attack means little."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import loss_gradient
from deeptroubles.methods.targets import Targets, as_batch
from deeptroubles.network import open_network
from deeptroubles.subject import logits_of

STEP = 1 / 1020
"""A quarter of an 8-bit level: below the resolution of a quantized input."""


@dataclass(frozen=True)
class MaskingFlags:
    """Shares of the images.

    Attributes:
        zero_gradient: Images on which the gradient of the margin is exactly 0 everywhere.
        saturated: Images on which the gradient of the cross-entropy is 0 (or not a number) and that of the margin is
            not: the logits are so large that single precision rounds the probabilities to 0 and 1.
        quantized: Images with a gradient whose logits do not change after a small step along it.
    """

    zero_gradient: float
    saturated: float
    quantized: float

    def raised(self) -> list[str]:
        """One sentence per flag that is raised."""
        sentences = {
            f"On {self.zero_gradient:.0%} of the images the gradient is zero.": self.zero_gradient,
            f"On {self.saturated:.0%} of the images the cross-entropy has no gradient: the logits are too large for "
            "single precision.": self.saturated,
            f"On {self.quantized:.0%} of the images a small step along the gradient changes no logit: the input may be "
            "quantized.": self.quantized,
        }
        return [sentence for sentence, seen in sentences.items() if seen]


def masking_flags(classifier: Classifier, images: Tensor, labels: Targets) -> MaskingFlags:
    """Look for masked gradients.

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
    none, flat = _is_zero(margin), _is_zero(entropy) | ~entropy.flatten(1).isfinite().all(1)
    moved = logits_of(classifier, (batch + STEP * margin.sign()).clamp(0, 1))
    still = (moved == logits_of(classifier, batch)).all(1) & ~none
    return MaskingFlags(_share(none), _share(flat & ~none), _share(still))


def _is_zero(gradient: Tensor) -> Tensor:
    return (gradient == 0).flatten(1).all(1)


def _share(images: Tensor) -> float:
    return float(images.float().mean())
