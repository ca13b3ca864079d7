"""Fuse batch normalization with the convolution or linear layer before it: the same function, fewer operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from deeptroubles.network.layers import LOGITS, PIXELS
from deeptroubles.network.traced import OPERATIONS, TracedNetwork

_FUSIBLE = OPERATIONS["conv2d"] | OPERATIONS["linear"]


def fuse_batch_norm(network: TracedNetwork) -> TracedNetwork:
    """A network without the batch normalizations that directly follow a convolution or a linear layer.

    The others (before a convolution, after an addition or a concatenation) stay. A fused layer has the name of its
    batch normalization, whose output it now computes. Its weights are computed from the current weights of the
    classifier: fuse again when these change.
    """
    with torch.inference_mode(mode=False):  # autograd cannot save weights that were made in that mode
        return network.rewritten(_fuse)


def optimized(network: TracedNetwork, layers: Sequence[str]) -> TracedNetwork:
    """A copy that computes some layers faster: batch normalization is fused, and any memory layout is accepted.

    Fusion removes the name of the layer before a batch normalization. If one of these layers is requested, nothing is
    fused. Run the copy on pixels that are `in_fast_layout`.
    """
    quick = fuse_batch_norm(network)
    left = {layer.name for layer in quick.layers} | {PIXELS, LOGITS}
    return (quick if left.issuperset(layers) else network).rewritten(_allow_any_layout)


def in_fast_layout(network: TracedNetwork, pixels: Tensor) -> Tensor:
    """Pixels in the memory layout in which convolutions are fastest: channels last on a CPU."""
    # Not `contiguous`, which leaves pixels of one channel as they are: they are contiguous either way.
    return pixels.to(memory_format=torch.channels_last if network.device.type == "cpu" else torch.contiguous_format)


def view(values: Tensor, shape: Sequence[int]) -> Tensor:
    """`Tensor.view` for any memory layout. Layers are named after the operation, so it keeps that name."""
    return values.reshape(shape)


def unsafe_view(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The same for `aten._unsafe_view`."""
    return values.reshape(shape)


def _allow_any_layout(module: fx.GraphModule) -> None:
    """`view` needs the memory layout that was traced; `reshape` accepts any."""
    views = {torch.ops.aten.view.default: view, torch.ops.aten._unsafe_view.default: unsafe_view}  # noqa: SLF001
    for node in module.graph.nodes:
        node.target = views.get(node.target, node.target)


def _fuse(module: fx.GraphModule) -> None:
    graph = module.graph
    for norm in list(graph.nodes):
        if norm.target not in OPERATIONS["batch_norm"] or not _can_fuse(norm):
            continue
        layer = norm.args[0]
        weight, bias = _fused_weights(module, layer, norm)
        names = [f"fused_{norm.name}_{part}" for part in ("weight", "bias")]
        for name, value in zip(names, (weight, bias), strict=True):
            module.register_buffer(name, value, persistent=False)
        with graph.inserting_before(layer):
            parameters = [graph.get_attr(name) for name in names]
        layer.args = (layer.args[0], *parameters, *layer.args[3:])
        layer.meta = dict(norm.meta)
        norm.replace_all_uses_with(layer)
        graph.erase_node(norm)
    graph.eliminate_dead_code()


def _can_fuse(norm: fx.Node) -> bool:
    """Whether a batch normalization is the only user of a layer with constant weights."""
    layer = norm.args[0]
    return (
        isinstance(layer, fx.Node)
        and layer.target in _FUSIBLE
        and len(layer.users) == 1
        and all(n.op == "get_attr" for node in (layer, norm) for n in node.all_input_nodes[1:])
        and not (layer.target in OPERATIONS["linear"] and layer.meta["val"].ndim > 2)  # channels are not last there
    )


def _fused_weights(module: fx.GraphModule, layer: fx.Node, norm: fx.Node) -> tuple[Tensor, Tensor]:
    """Weight and bias of the fused layer, computed in double precision and rounded once."""

    def get(argument: fx.node.Argument) -> Tensor | None:
        return value(module, argument).cpu().double() if isinstance(argument, fx.Node) else None

    original = value(module, layer.all_input_nodes[1])
    weight, bias = original.cpu().double(), get(layer.args[2] if len(layer.args) > 2 else None)
    scale, shift = get(norm.args[1]), get(norm.args[2])
    mean, variance = value(module, norm.args[3]).cpu().double(), value(module, norm.args[4]).cpu().double()
    eps: Any = norm.args[7]
    factor = torch.rsqrt(variance + float(eps))
    factor = factor if scale is None else factor * scale
    new_bias = (-mean if bias is None else bias - mean) * factor
    new_bias = new_bias if shift is None else new_bias + shift
    weight = weight * factor.view(-1, *[1] * (weight.ndim - 1))
    return weight.to(original), new_bias.to(original)


def value(module: fx.GraphModule, node: Any) -> Tensor:
    """The tensor that a `get_attr` node refers to."""
    path, _, name = str(node.target).rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(path), name)
    return tensor.detach()
