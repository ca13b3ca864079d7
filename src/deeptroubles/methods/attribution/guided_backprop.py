"""Guided backpropagation: gradients without negative backward signals (Springenberg et al., ICLR workshop 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.rectifiers import pixel_gradient, positive
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score


def guided_backprop(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None
) -> Tensor:
    """Gradient of the target's logit in which every rectifier passes back only positive signals to active units.

    All rectifiers are covered: modules, functional and in-place ones, those that are used several times, ReLU6 and
    other clamps at zero (hardtanh, clip), which also block the signal where they are saturated, thresholds at zero, and
    the maximum of a value and a constant zero. Rectifiers made of several operations, such as `x * (x > 0)` and
    `where(x > 0, x, 0)`, and activations that are not rectifiers (GELU, SiLU, hardswish, leaky ReLU, sigmoid) pass back
    their plain gradient.

    The maps are sharp but depend little on the class and barely change when weights are randomized (Adebayo et al.,
    NeurIPS 2018).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.

    Returns:
        N x H x W, raw and signed: the sum over the color channels, in logits per unit of brightness (black to white).

    Raises:
        ModelError: The model has no rectifier, or cannot be traced.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        J. T. Springenberg et al.: Striving for Simplicity: The All Convolutional Net, ICLR workshop 2015, section 3.4.
    """
    batch = as_batch(classifier, images)
    return pixel_gradient(classifier, batch, target_score(classifier, target, against), _Guided.apply).sum(1)


class _Guided(torch.autograd.Function):
    """A clamp from `low` to `high`, both optional."""

    @staticmethod
    def forward(context: Any, x: Tensor, low: float = 0.0, high: float | None = None) -> Tensor:
        context.save_for_backward((x > low) if high is None else (x > low) & (x < high))
        return x.clamp(low, high)

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor | None, ...]:
        (active,) = context.saved_tensors
        return torch.where(active, positive(signals[0]), 0), None, None
