"""Batch normalisation folded into the convolution or the linear map before it: the same answers, fewer operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from deeptroubles.network.layers import LOGITS, PIXELS
from deeptroubles.network.traced import OPERATIONS, TracedNetwork

_FOLDABLE = OPERATIONS["conv2d"] | OPERATIONS["linear"]


def folded(network: TracedNetwork) -> TracedNetwork:
    """A network without the batch normalisations that directly follow a convolution or a linear map.

    The others (before a convolution, after an addition or a concatenation) stay. A folded layer has the name of its
    batch normalisation, whose output it now computes. The folded weights are copies of what the classifier's weights
    are now: fold again after these have changed.
    """
    return network.rewritten(_fold)


def lean(network: TracedNetwork, layers: Sequence[str]) -> TracedNetwork:
    """A copy that is quick to run for some layers: folded where all of them are left, and in any memory layout.

    A normalisation that is folded away takes the name of the layer before it: where one of these is asked for, nothing
    is folded. Run it on pixels that are `laid_out`.
    """
    quick = folded(network)
    left = {layer.name for layer in quick.layers} | {PIXELS, LOGITS}
    return (quick if left.issuperset(layers) else network).rewritten(_allow_any_layout)


def laid_out(network: TracedNetwork, pixels: Tensor) -> Tensor:
    """Pixels in the memory layout in which convolutions are quickest: channels last on a processor."""
    # Not `contiguous`, which leaves pixels of one channel as they are: they are contiguous either way.
    return pixels.to(memory_format=torch.channels_last if network.device.type == "cpu" else torch.contiguous_format)


def view(values: Tensor, shape: Sequence[int]) -> Tensor:
    """What a view gives, in any memory layout; named so that the layer keeps its name."""
    return values.reshape(shape)


def unsafe_view(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The same for the other operation that gives views."""
    return values.reshape(shape)


def _allow_any_layout(module: fx.GraphModule) -> None:
    """A view insists on the layout that was traced; reshaping takes any."""
    views = {torch.ops.aten.view.default: view, torch.ops.aten._unsafe_view.default: unsafe_view}  # noqa: SLF001 (a name)
    for node in module.graph.nodes:
        node.target = views.get(node.target, node.target)


def _fold(module: fx.GraphModule) -> None:
    graph = module.graph
    for norm in list(graph.nodes):
        if norm.target not in OPERATIONS["batch_norm"] or not _can_fold(norm):
            continue
        layer = norm.args[0]
        weight, bias = _folded_weights(module, layer, norm)
        names = [f"folded_{norm.name}_{part}" for part in ("weight", "bias")]
        for name, value in zip(names, (weight, bias), strict=True):
            module.register_buffer(name, value, persistent=False)
        with graph.inserting_before(layer):
            parameters = [graph.get_attr(name) for name in names]
        layer.args = (layer.args[0], *parameters, *layer.args[3:])
        layer.meta = dict(norm.meta)
        norm.replace_all_uses_with(layer)
        graph.erase_node(norm)
    graph.eliminate_dead_code()


def _can_fold(norm: fx.Node) -> bool:
    """Whether the normalisation is the only one who reads a layer with weights of its own."""
    layer = norm.args[0]
    return (
        isinstance(layer, fx.Node)
        and layer.target in _FOLDABLE
        and len(layer.users) == 1
        and all(n.op == "get_attr" for node in (layer, norm) for n in node.all_input_nodes[1:])
        and not (layer.target in OPERATIONS["linear"] and layer.meta["val"].ndim > 2)  # its channels are not last there
    )


def _folded_weights(module: fx.GraphModule, layer: fx.Node, norm: fx.Node) -> tuple[Tensor, Tensor]:
    """In double precision, rounded once."""

    def get(argument: fx.node.Argument) -> Tensor | None:
        return value(module, argument).cpu().double() if isinstance(argument, fx.Node) else None

    original = value(module, layer.all_input_nodes[1])
    weight, bias = original.cpu().double(), get(layer.args[2] if len(layer.args) > 2 else None)
    scale, shift = get(norm.args[1]), get(norm.args[2])
    mean, variance = value(module, norm.args[3]).cpu().double(), value(module, norm.args[4]).cpu().double()
    eps: Any = norm.args[7]
    factor = torch.rsqrt(variance + float(eps))
    factor = factor if scale is None else factor * scale
    moved = (-mean if bias is None else bias - mean) * factor
    moved = moved if shift is None else moved + shift
    weight = weight * factor.view(-1, *[1] * (weight.ndim - 1))
    return weight.to(original), moved.to(original)


def value(module: fx.GraphModule, node: Any) -> Tensor:
    """The tensor that a `get_attr` node of a graph stands for."""
    path, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(path), name)
    return tensor.detach()
