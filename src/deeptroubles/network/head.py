"""Penultimate features: the input of the last layer."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from deeptroubles.classifier import evaluating
from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.opening import Network
from deeptroubles.network.traced import OPERATIONS, TracedNetwork
from deeptroubles.outputs import to_logits

_aten = torch.ops.aten
_BETWEEN = {
    _aten.view.default,
    _aten.reshape.default,
    _aten.flatten.using_ints,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.mean.dim,
    _aten.clone.default,
    _aten.alias.default,
    _aten.dropout.default,
    _aten.unsqueeze.default,
    _aten.squeeze.default,
    _aten.select.int,
    _aten.log_softmax.int,
    _aten.softmax.int,
    _aten.log.default,
    _aten.clamp_min.default,
    _aten.logit.default,
    _aten.sigmoid.default,
    _aten.mul.Tensor,
    _aten.div.Tensor,
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
    node = _single_output(node) or node
    while node.target in _BETWEEN and isinstance(node.args[0], fx.Node) and not _is_product(node):
        node = node.args[0]
    read = node.args[0] if node.target in OPERATIONS["linear"] | OPERATIONS["conv2d"] else None
    if not isinstance(read, fx.Node):
        return None
    value = network.values(pixels, [read])[read]
    return value if isinstance(value, Tensor) else None


def _is_product(node: fx.Node) -> bool:
    """Whether a node multiplies or divides two tensors, and does not only scale one."""
    return node.target in {_aten.mul.Tensor, _aten.div.Tensor} and isinstance(node.args[1], fx.Node)


def _single_output(logits: fx.Node) -> fx.Node | None:
    """The one output of which the logits of two classes are made (see `deeptroubles.outputs.to_logits`)."""
    if logits.target is not _aten.cat.default or any(n.target is not _aten.mul.Tensor for n in logits.all_input_nodes):
        return None
    sources = {source for scaled in logits.all_input_nodes for source in scaled.all_input_nodes}
    return sources.pop() if len(sources) == 1 else None


def _hooked(network: HookedNetwork, pixels: Tensor) -> Tensor | None:
    """The input of the last module with weights, if its output means the same as the logits."""
    classifier, last = network.classifier, list[tuple[Tensor, Tensor]]()
    modules = [m for m in classifier.module.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hooks = [m.register_forward_hook(lambda _, inputs, output: last.append((inputs[0], output))) for m in modules]
    try:
        with torch.no_grad(), evaluating(classifier):
            logits = classifier(pixels).log_softmax(1)
    finally:
        for hook in hooks:
            hook.remove()
    if not last or last[-1][1].numel() != len(pixels) * classifier.output_count:
        return None
    read, returned = last[-1]
    own = to_logits(returned.reshape(len(pixels), -1), "logits").log_softmax(1)
    return read if torch.allclose(own, logits, rtol=1e-3, atol=1e-3) else None
