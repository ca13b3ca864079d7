"""Shared by deconvnet and guided backpropagation: the gradient with a different rule in every rectifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.network import PIXELS, TracedNetwork, open_network


def pixel_gradient(
    classifier: Classifier, pixels: Tensor, score: Callable[[Tensor], Tensor], rule: Callable[..., Tensor]
) -> Tensor:
    """Gradient of a score with respect to the pixels (N x C x H x W), with `rule` in place of every rectifier.

    Raises:
        ModelError: There is no rectifier, so the result would be the plain gradient.
        NoGradientError: The gradient is zero on every image.
    """
    network = open_network(classifier)
    if isinstance(network, TracedNetwork) and not network.count("relu"):
        raise ModelError(
            f"{classifier.name} has no rectifier (ReLU, ReLU6) whose backward rule could be changed; use "
            "integrated_gradients or occlusion instead."
        )
    _, gradients = network.with_rule("relu", rule).gradients(pixels, [PIXELS], score)
    return refuse_zero(classifier, gradients[PIXELS])


def positive(signal: Tensor) -> Tensor:
    """The positive part of a backward signal; 0 where it is not finite.

    Behind a root (`sqrt`, `LPPool2d`), a unit that is 0 receives an infinite signal, or 0 times an infinite one.
    """
    return torch.where((signal > 0) & signal.isfinite(), signal, 0)
