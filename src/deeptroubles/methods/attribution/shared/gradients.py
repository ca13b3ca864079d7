"""Shared by gradient methods: the gradient of a score with respect to the pixels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.network import PIXELS, open_network


def pixel_gradients(classifier: Classifier, pixels: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient of the score with respect to the pixels: N x C x H x W, in logits per unit of a pixel in [0, 1]."""
    return open_network(classifier).gradients(pixels, [PIXELS], score)[1][PIXELS]
