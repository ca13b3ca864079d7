"""Anti-aliased pooling: a network with a blur before every stride, to compare its stability with and without it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import NeedsGraphError
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.transforms.shared.dense import (
    blur,
    check_filter,
    dense_average_pool,
    dense_convolution,
    dense_max_pool,
)
from deeptroubles.methods.transforms.shift import ShiftBorder
from deeptroubles.network import TracedNetwork, open_network

_aten = torch.ops.aten


def blur_pool(classifier: Classifier, size: Count = 3, border: ShiftBorder = "mirror") -> Classifier:
    """Insert a blur before every stride of a classifier.

    Every strided convolution and pooling is computed densely, blurred, and then sampled. Weights are shared and nothing
    is trained. The published networks gain accuracy by training with the blur; without training, accuracy can fall. So
    the result shows how much of a network's instability under shifts comes from aliasing; it is not a better network.
    The blur directly follows the operation, not the rectifier after it.

    Args:
        classifier: The classifier.
        size: Length of the binomial filter: 2, 3, 5, ...; 1 only samples.
        border: Padding of the maps for the filter: `black` (0), `mirror` or `circular`.

    Returns:
        A new classifier that shares the weights.

    Raises:
        ModelError: An average pooling's last window leaves the map (`ceil_mode`).
        NeedsGraphError: The classifier could not be traced.
        UsageError: The size is below 1, or the border is unknown.

    References:
        R. Zhang, Making convolutional networks shift-invariant again, ICML 2019.
    """
    check_filter(size, border)
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise NeedsGraphError(f"{classifier.name} could not be traced, so its strides cannot be changed.")

    def change(module: fx.GraphModule) -> None:
        for node in module.graph.nodes:
            dense = _DENSE.get(node.target)
            if dense is not None:
                node.target = _blurred(dense, size, border)

    return Classifier(
        _Rewritten(classifier, network.rewritten(change), size),
        size=classifier.size,
        channels=classifier.channels,
        class_names=classifier.class_names,
        class_aliases=classifier.class_aliases,
        resize=classifier.resize,
        interpolation=classifier.interpolation,
        name=f"{classifier.name} with blur",
    )


class _Rewritten(nn.Module):
    def __init__(self, original: Classifier, network: TracedNetwork, size: int) -> None:
        super().__init__()
        self.original = original  # holds weights, device and fingerprint
        self.register_buffer("size", torch.tensor(size), persistent=False)
        self._network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self._network(pixels)
        return logits


def _blurred(dense: Any, size: int, border: ShiftBorder) -> Any:
    def computed(*arguments: Any) -> Tensor:
        maps, strides = dense(*arguments)
        return blur(maps, size, strides, border)

    return computed


_DENSE = {
    _aten.conv2d.default: dense_convolution,
    _aten.conv2d.padding: dense_convolution,
    _aten.max_pool2d.default: dense_max_pool,
    _aten.avg_pool2d.default: dense_average_pool,
}
