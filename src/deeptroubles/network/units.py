"""Layers whose units are analyzed: one per operation with weights, and the outputs of residual blocks."""

from __future__ import annotations

from itertools import takewhile

import torch
from torch import fx

from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.layers import Layer
from deeptroubles.network.opening import Network
from deeptroubles.network.receptive_field.field import Field
from deeptroubles.network.receptive_field.propagation import propagate
from deeptroubles.network.receptive_field.rules import is_pointwise
from deeptroubles.network.traced import OPERATIONS, name_nodes

_aten = torch.ops.aten
_WEIGHTED = OPERATIONS["conv2d"] | OPERATIONS["linear"]
_ADDITIONS = {_aten.add.Tensor, _aten.add_.Tensor}
_IDENTITIES = {_aten.clone.default, _aten.dropout.default, _aten.alias.default}
_POINTWISE_MODULES = ("norm", "relu", "elu", "silu", "mish", "swish", "sigmoid", "tanh", "softplus")


def unit_layers(network: Network) -> tuple[Layer, ...]:
    """The layers whose units are indexed, in the order in which they are computed.

    For every convolution (also depthwise) and every linear layer, this is the end of the chain of pointwise operations
    that follow it (batch normalization, activation, clamp; dropout has no effect): the input of the next layer, under
    the name of the innermost module that ends there. The same holds for every addition of two values of the same shape,
    the output of a residual block. The last linear layer gives the logits. Attention counts through its projections.

    Values whose first dimension is not the batch, or whose units are not where `by_unit` expects them (channels-last
    maps in a ConvNeXt or Swin block), are left out. In a network that could not be traced, each module with weights
    counts at the end of the normalizations and activations that are called right after it.
    """
    return _by_modules(network) if isinstance(network, HookedNetwork) else _by_graph(network.graph, network.layers)


def is_rectified(network: Network, layer: str) -> bool:
    """Whether a layer ends in a rectifier (ReLU, ReLU6): it is never below 0, and 0 means inactive."""
    if isinstance(network, HookedNetwork):
        return network.layer(layer).operation in {"ReLU", "ReLU6"}
    node = name_nodes(network.graph).get(layer)
    return node is not None and node.target in OPERATIONS["relu"] and node.args[1:2] in {(), (0,)}


def _by_graph(graph: fx.Graph, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    fields = propagate(graph)  # the nodes that depend on the pixels, and their image dimensions
    pixels = next(iter(graph.find_nodes(op="placeholder")))
    starts = [
        node for node in graph.nodes if node in fields and (node.target in _WEIGHTED or _is_residual(node, fields))
    ]
    ends = {_end_of_chain(node, fields) for node in starts}
    names: dict[fx.Node, str] = {}
    for name, node in name_nodes(graph).items():  # the innermost of several names comes first
        if node in ends and _has_units(node, pixels, fields) and (node not in names or _is_derived(names[node])):
            names[node] = name if node not in names or not _is_derived(name) else names[node]
    by_name = {layer.name: layer for layer in layers}
    return tuple(by_name[name] for name in names.values())


def _is_derived(name: str) -> bool:
    """Whether a name is not simply a module path."""
    return "@" in name or ":" in name


def _is_residual(node: fx.Node, fields: dict[fx.Node, Field]) -> bool:
    """Whether a node adds two values of the same shape that both depend on the pixels."""
    inputs = [n for n in node.args[:2] if isinstance(n, fx.Node) and n in fields]
    return node.target in _ADDITIONS and len(inputs) == 2 and inputs[0].meta["val"].shape == inputs[1].meta["val"].shape


def _end_of_chain(node: fx.Node, fields: dict[fx.Node, Field]) -> fx.Node:
    """Follow pointwise operations while nothing else uses the value.

    `x * sigmoid(x)` also counts: a group of nodes without other inputs and with a single output.
    """
    group, end = {node}, node
    while True:
        readers = [
            user
            for member in group
            for user in member.users
            if user not in group and is_pointwise(user) and all(n in group for n in user.all_input_nodes if n in fields)
        ]
        open_ends = [member for member in group if any(user not in group for user in member.users) or not member.users]
        if len(open_ends) == 1:
            end = open_ends[0]
        if not readers:
            break
        group.add(readers[0])
    while end.target in _IDENTITIES and isinstance(end.args[0], fx.Node):
        end = end.args[0]
    return end


def _has_units(node: fx.Node, pixels: fx.Node, fields: dict[fx.Node, Field]) -> bool:
    """Whether a value is images x channels x height x width, images x tokens x units, or images x units."""
    shape = node.meta["val"].shape
    if str(shape[0]) != str(pixels.meta["val"].shape[0]) or not all(isinstance(n, int) for n in shape[1:]):
        return False
    return len(shape) in {2, 3} or (len(shape) == 4 and fields[node].dims == (-2, -1))


def _by_modules(network: HookedNetwork) -> tuple[Layer, ...]:
    kinds = dict(network.classifier.module.named_modules())
    leaves = [layer for layer in network.layers if not list(kinds[layer.name].children())]
    found = []
    for i, layer in enumerate(leaves):
        if layer.operation in {"Conv2d", "Linear"} and (layer.operation == "Conv2d" or len(layer.shape) < 3):
            chain = takewhile(lambda other, shape=layer.shape: _follows(other, shape), leaves[i + 1 :])  # type: ignore[misc]
            found.append([layer, *chain][-1])
    return tuple(found)


def _follows(layer: Layer, shape: tuple[int, ...]) -> bool:
    kind = layer.operation.lower()
    return layer.shape == shape and "layernorm" not in kind and any(word in kind for word in _POINTWISE_MODULES)
