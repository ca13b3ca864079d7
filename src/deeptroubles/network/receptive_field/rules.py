"""Compute the field of an operation's output from those of its inputs: one function per kind of operation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import fx

from deeptroubles.network.receptive_field.field import Affine, Axis, Field, union


def propagate_node(node: fx.Node, inputs: list[Field]) -> Field | None:
    """The field of one node from those of its inputs; None if the operation is not known to be local."""
    name = operation_name(node)
    if name in _RULES:
        return _RULES[name](node, inputs)
    return _union(node, inputs) if is_pointwise(node) else None


def is_pointwise(node: fx.Node) -> bool:
    """Whether a node is a pointwise operation (in eval mode, as batch normalization and dropout are)."""
    return torch.Tag.pointwise in getattr(node.target, "tags", ()) or operation_name(node) in _POINTWISE


def operation_name(node: fx.Node) -> str:
    """The name of the operation that a node calls, such as `conv2d`, without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


_POINTWISE = {
    "batch_norm",
    "clone",
    "dropout",
    "contiguous",
    "_to_copy",
    "alias",
    "detach",
    "hardtanh",
    "relu6",
    "prelu",
    "rrelu",
    "hardsigmoid",
    "hardswish",
    "mish",
    "celu",
    "selu",
    "softplus",
    "where",
    "channel_shuffle",
    "native_channel_shuffle",
}
"""Pointwise operations that PyTorch does not tag as such."""


def _union(node: fx.Node, inputs: list[Field]) -> Field | None:
    """Elementwise operations, with broadcasting."""
    spatial = {field.dims for field in inputs if field.dims}
    if len(spatial) > 1:
        return None
    dims, shape = next(iter(spatial), None), node.meta["val"].shape
    y, x = union(inputs).axes
    if dims is None:
        return Field(None, (y, x))
    return Field(dims, (y.broadcast(int(shape[dims[0]])), x.broadcast(int(shape[dims[1]]))))


def _argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    value = node.args[index] if len(node.args) > index else node.kwargs.get(name, default)
    return default if value is None or value == [] else value


def _from_end(node: fx.Node, dim: Any) -> int:
    """A dimension of the output, counted from the end."""
    return int(dim) if dim < 0 else int(dim) - node.meta["val"].ndim


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _windows(node: fx.Node, field: Field, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Field:
    lengths = [int(n) for n in node.meta["val"].shape[-2:]]
    settings = zip(field.axes, lengths, _pair(kernel), _pair(stride), _pair(padding), _pair(dilation), strict=True)
    axes = [axis.windows(n, k, s, p, d) for axis, n, k, s, p, d in settings]
    return Field((-2, -1), axes)


def _convolution(node: fx.Node, inputs: list[Field]) -> Field | None:
    weight = node.args[1]
    if not isinstance(weight, fx.Node) or len(inputs) > 1 or inputs[0].dims not in {None, (-2, -1)}:
        return None
    kernel = tuple(int(k) for k in weight.meta["val"].shape[-2:])
    stride, padding = _argument(node, 3, "stride", 1), _argument(node, 4, "padding", 0)
    dilation = _pair(_argument(node, 5, "dilation", 1))
    if padding == "valid":
        padding = 0
    elif padding == "same":  # an odd total has its extra pixel at the end
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
    return _windows(node, inputs[0], kernel, stride, padding, dilation)


def _pooling(node: fx.Node, inputs: list[Field]) -> Field:
    kernel = node.args[1]
    name = str(node.target)
    dilation = _argument(node, 4, "dilation", 1) if "max" in name else 1
    stride = _argument(node, 2, "stride", kernel)
    return _windows(node, inputs[0], kernel, stride, _argument(node, 3, "padding", 0), dilation)


def _adaptive_pooling(node: fx.Node, inputs: list[Field]) -> Field:
    axes = []
    for axis, length in zip(inputs[0].axes, node.meta["val"].shape[-2:], strict=True):
        n, out = len(axis.low), int(length)
        if n == 1:
            axes.append(axis)
        elif n % out == 0:
            axes.append(axis.hull() if out == 1 else axis.windows(out, n // out, n // out, 0, 1))
        else:
            cells = [slice(i * n // out, math.ceil((i + 1) * n / out)) for i in range(out)]
            axes.append(
                Axis(np.array([axis.low[c].min() for c in cells]), np.array([axis.high[c].max() for c in cells]), None)
            )
    return Field((-2, -1), axes)


def _padding(node: fx.Node, inputs: list[Field]) -> Field | None:
    pads, mode = [int(p) for p in node.args[1]], _argument(node, 2, "mode", "constant")  # type: ignore[union-attr,arg-type]
    if "constant_pad" in str(node.target):
        mode = "constant"
    field = inputs[0]
    if field.dims != (-2, -1):
        return None
    how = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}.get(mode)
    for which, start in ((1, 0), (0, 2)):
        if len(pads) < start + 2:
            break
        axis, (before, after) = field.axes[which], pads[start : start + 2]
        if len(axis.low) == 1 or (before, after) == (0, 0):
            continue
        index = np.arange(-before, len(axis.low) + after)
        if how is not None:
            index = np.pad(np.arange(len(axis.low)), (max(before, 0), max(after, 0)), mode=how)  # type: ignore[call-overload]
        affine = axis.affine and Affine(
            axis.affine.size, axis.affine.stride, axis.affine.offset - before * axis.affine.stride
        )
        field = field.with_axis(which, axis.take(index, affine))
    return field


def _reduction(node: fx.Node, inputs: list[Field]) -> Field:
    """Mean, sum, maximum over some dimensions."""
    field, before = inputs[0], len(node.all_input_nodes[0].meta["val"].shape)
    dims = _argument(node, 1, "dim", list(range(before)))
    reduced = {d - before if d >= 0 else d for d in ([dims] if isinstance(dims, int) else dims)}
    if field.dims is None:
        return field
    axes = [axis.hull() if d in reduced else axis for axis, d in zip(field.axes, field.dims, strict=True)]
    if node.meta["val"].ndim == before:
        return Field(field.dims, axes)
    if reduced.isdisjoint(field.dims):  # reducing a dimension after an image dimension shifts it towards the end
        y, x = (d + sum(r > d for r in reduced) for d in field.dims)
        return Field((y, x), field.axes)
    return Field(None, [axis.hull() for axis in axes])


def _mixed_along(field: Field, dims: set[int]) -> Field:
    """A field whose positions are mixed along some dimensions, which keep their lengths."""
    if field.dims is None:
        return field
    axes = zip(field.axes, field.dims, strict=True)
    return Field(field.dims, [axis.hull().broadcast(len(axis.low)) if d in dims else axis for axis, d in axes])


def _normalization(node: fx.Node, inputs: list[Field]) -> Field:
    """Layer norm mixes its last dimensions; group norm and instance norm mix all positions."""
    last = len(node.args[1]) if "layer_norm" in str(node.target) else 2  # type: ignore[arg-type]
    return _mixed_along(inputs[0], set(range(-last, 0)))


def _softmax(node: fx.Node, inputs: list[Field]) -> Field:
    return _mixed_along(inputs[0], {_from_end(node, node.args[1])})


def _linear(node: fx.Node, inputs: list[Field]) -> Field | None:
    """A linear layer mixes only the last dimension: with channels last, it is a 1 x 1 convolution."""
    field = inputs[0]
    return field if len(inputs) == 1 and field.dims and -1 not in field.dims else None


def _permute(node: fx.Node, inputs: list[Field]) -> Field:
    field, ndim = inputs[0], node.meta["val"].ndim
    if field.dims is None:
        return field
    if "transpose" in str(node.target):
        order = list(range(ndim))
        a, b = int(node.args[1]), int(node.args[2])  # type: ignore[arg-type]
        order[a], order[b] = order[b], order[a]
    else:
        order = [int(d) % ndim for d in node.args[1]]  # type: ignore[union-attr,arg-type]
    y, x = (order.index(d + ndim) - ndim for d in field.dims)
    return Field((y, x), field.axes)


def _reshape(node: fx.Node, inputs: list[Field]) -> Field | None:
    """A reshape that keeps the image dimensions at the end (channel shuffle) keeps the field; any other mixes it."""
    before, after = node.all_input_nodes[0].meta["val"].shape, node.meta["val"].shape
    field = inputs[0]
    if field.dims == (-2, -1) and len(after) >= 2 and tuple(before[-2:]) == tuple(after[-2:]):
        return field
    return None


def _concatenation(node: fx.Node, inputs: list[Field]) -> Field | None:
    dim, dims, parts = _from_end(node, _argument(node, 1, "dim", 0)), inputs[0].dims, node.args[0]
    if any(field.dims != dims for field in inputs) or dims is None or not isinstance(parts, list | tuple):
        return None
    if dim not in dims:
        return _union(node, inputs)
    if len(parts) != len(inputs):  # the same value twice, or a constant
        return None
    which = dims.index(dim)
    other = union([Field(dims, (f.axes[1 - which],) * 2) for f in inputs]).axes[0]
    low = np.concatenate([field.axes[which].low for field in inputs])
    high = np.concatenate([field.axes[which].high for field in inputs])
    return Field(dims, (other, other)).with_axis(which, Axis(low, high, None))


def _slice(node: fx.Node, inputs: list[Field]) -> Field:
    field, dim = inputs[0], _from_end(node, _argument(node, 1, "dim", 0))
    if field.dims is None or dim not in field.dims:
        return field
    which = field.dims.index(dim)
    axis, step = field.axes[which], int(_argument(node, 4, "step", 1))
    if len(axis.low) == 1:
        return field
    index = np.arange(len(axis.low))[slice(_argument(node, 2, "start", None), _argument(node, 3, "end", None), step)]
    affine = axis.affine and Affine(
        axis.affine.size, axis.affine.stride * step, axis.affine.offset + int(index[0]) * axis.affine.stride
    )
    return field.with_axis(which, axis.take(index, affine))


def _resize(node: fx.Node, inputs: list[Field]) -> Field | None:
    """Nearest and bilinear resizing; any other kind depends on everything."""
    field, name = inputs[0], str(node.target)
    if "nearest" not in name and "bilinear" not in name:
        return None
    corners = "bilinear" in name and bool(node.args[2])
    axes = []
    for axis, length in zip(field.axes, node.meta["val"].shape[-2:], strict=True):
        n, out = len(axis.low), int(length)
        at = np.arange(out) * (n - 1) / max(out - 1, 1) if corners else (np.arange(out) + 0.5) * n / out - 0.5
        if "nearest" in name:
            axes.append(axis.take(np.arange(out) * n // out, None))
        else:
            first = np.clip(np.floor(at), 0, n - 1).astype(np.int64)
            axes.append(axis.take(first, None).union(axis.take(np.clip(np.ceil(at), 0, n - 1).astype(np.int64), None)))
    return Field((-2, -1), axes)


_RULES = {
    "conv2d": _convolution,
    "max_pool2d": _pooling,
    "max_pool2d_with_indices": _pooling,
    "avg_pool2d": _pooling,
    "adaptive_avg_pool2d": _adaptive_pooling,
    "adaptive_max_pool2d": _adaptive_pooling,
    "pad": _padding,
    "constant_pad_nd": _padding,
    "mean": _reduction,
    "sum": _reduction,
    "amax": _reduction,
    "layer_norm": _normalization,
    "group_norm": _normalization,
    "instance_norm": _normalization,
    "softmax": _softmax,
    "_softmax": _softmax,
    "linear": _linear,
    "permute": _permute,
    "transpose": _permute,
    "view": _reshape,
    "reshape": _reshape,
    "_unsafe_view": _reshape,
    "cat": _concatenation,
    "slice": _slice,
    "upsample_nearest2d": _resize,
    "upsample_bilinear2d": _resize,
}
