"""Penultimate features: the input of the last layer."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from deeptroubles.classifier import evaluating
from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.opening import Network
from deeptroubles.network.traced import OPERATIONS, TracedNetwork

_aten = torch.ops.aten
_SHAPING = {
    _aten.view.default,
    _aten.reshape.default,
    _aten.flatten.using_ints,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.mean.dim,
    _aten.clone.default,
    _aten.alias.default,
    _aten.dropout.default,
}
"""Operations that may stand between the last layer with weights and the logits."""


def penultimate_features(network: Network, pixels: Tensor) -> Tensor | None:
    """The input of the last linear layer (or 1 x 1 convolution).

    Args:
        network: The network.
        pixels: N x C x H x W, in [0, 1].

    Returns:
        N x D, averaged over positions; None if the logits are not the output of such a layer.
    """
    found = _traced(network, pixels) if isinstance(network, TracedNetwork) else _hooked(network, pixels)
    if found is None:
        return None
    return found.flatten(2).mean(2) if found.ndim == 4 else found.flatten(1)


def _traced(network: TracedNetwork, pixels: Tensor) -> Tensor | None:
    node: fx.Node = next(iter(network.graph.find_nodes(op="output"))).all_input_nodes[0]
    while node.target in _SHAPING and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    read = node.args[0] if node.target in OPERATIONS["linear"] | OPERATIONS["conv2d"] else None
    if not isinstance(read, fx.Node):
        return None
    value = network.values(pixels, [read])[read]
    return value if isinstance(value, Tensor) else None


def _hooked(network: HookedNetwork, pixels: Tensor) -> Tensor | None:
    """The input of the last module with weights, if its output is the logits."""
    classifier, last = network.classifier, list[tuple[Tensor, Tensor]]()
    modules = [m for m in classifier.module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hooks = [m.register_forward_hook(lambda _, inputs, output: last.append((inputs[0], output))) for m in modules]
    try:
        with torch.no_grad(), evaluating(classifier):
            logits = classifier(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    is_head = last and last[-1][1].shape == logits.shape and torch.equal(last[-1][1], logits)
    return last[-1][0] if is_head else None
