"""Deconvnet: the gradient with the backward signal rectified at every ReLU (Zeiler & Fergus, ECCV 2014)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.rectifiers import pixel_gradient, positive
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score


def deconvnet(classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None) -> Tensor:
    """Gradient of the target's logit in which every rectifier rectifies the backward signal.

    Max-pooling sends the signal back to the maximum (the paper's switches). All rectifiers are covered: modules,
    functional and in-place ones, those that are used several times, ReLU6 and other clamps (hardtanh, clip) and
    thresholds at zero, and the maximum of a value and a constant zero. Rectifiers made of
    several operations, such as `x * (x > 0)` and `where(x > 0, x, 0)`, and activations that are not rectifiers (GELU,
    SiLU, hardswish, leaky ReLU, sigmoid) pass back their plain gradient.

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
        M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014, section 2.1; started
        at the logit, as in K. Simonyan et al.: Deep Inside Convolutional Networks, ICLR workshop 2014, section 4.
    """
    batch = as_batch(classifier, images)
    return pixel_gradient(classifier, batch, target_score(classifier, target, against), _Rectified.apply).sum(1)


class _Rectified(torch.autograd.Function):
    """A clamp from `low` to `high`, both optional."""

    @staticmethod
    def forward(_context: Any, x: Tensor, low: float = 0.0, high: float | None = None) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def backward(_context: Any, *signals: Tensor) -> tuple[Tensor | None, ...]:
        return positive(signals[0]), None, None
