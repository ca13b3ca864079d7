"""Receptive fields: which pixels a position of a layer can depend on, computed from the graph, exact at the borders.

For every node of the graph and each of the two image axes we keep two integer arrays, `low` and `high`: position i of
the node can depend on pixel rows (or columns) low[i] to high[i], inclusive, and on no others outside of that hull.
Each operation maps the arrays of its inputs to the arrays of its output: a window takes the smallest low and the
largest high of the positions it covers (padding covers nothing), an addition or a concatenation of channels takes the
union, whatever mixes all positions takes the hull of everything. Beside the arrays we carry the affine form
(size, stride, offset) that holds away from borders, as in Araujo et al., "Computing receptive fields of convolutional
neural networks" (Distill 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

NOTHING = (1 << 30, -1)
"""The interval of a position that depends on no pixel (zero padding): the neutral element of the union."""


@dataclass(frozen=True)
class Affine:
    """Position i sees the `size` pixels from `offset + i * stride` on, borders aside."""

    size: int
    stride: int
    offset: int


@dataclass(frozen=True)
class Axis:
    """What the positions along one image axis see. Length 1 stands for every position."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    affine: Affine | None

    def take(self, index: NDArray[np.int64], affine: Affine | None) -> Axis:
        """The axis whose position i is this one's position index[i]; an index outside depends on nothing."""
        inside = (index >= 0) & (index < len(self.low))
        safe = np.where(inside, index, 0)
        return Axis(np.where(inside, self.low[safe], NOTHING[0]), np.where(inside, self.high[safe], NOTHING[1]), affine)

    def hull(self) -> Axis:
        """One position that sees what any of them sees."""
        return Axis(self.low.min(keepdims=True), self.high.max(keepdims=True), None)

    def stretched(self, length: int) -> Axis:
        """The same axis with its length written out."""
        return self if len(self.low) == length else self.take(np.zeros(length, dtype=np.int64), None)

    def windows(self, length: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Slide a window of `kernel` taps; `length` is the number of outputs."""
        if len(self.low) == 1:
            return self
        affine = self.affine and Affine(
            self.affine.size + (kernel - 1) * dilation * self.affine.stride,
            self.affine.stride * stride,
            self.affine.offset - padding * self.affine.stride,
        )
        taps = np.arange(length)[:, None] * stride - padding + np.arange(kernel) * dilation
        covered = self.take(taps.reshape(-1), None)
        shape = taps.shape
        return Axis(covered.low.reshape(shape).min(1), covered.high.reshape(shape).max(1), affine)

    def joined(self, other: Axis) -> Axis:
        """The union with another axis (equal lengths, or one of them 1)."""
        affine = None
        if self.affine and other.affine and self.affine.stride == other.affine.stride:
            start = min(self.affine.offset, other.affine.offset)
            end = max(self.affine.offset + self.affine.size, other.affine.offset + other.affine.size)
            affine = Affine(end - start, self.affine.stride, start)
        return Axis(np.minimum(self.low, other.low), np.maximum(self.high, other.high), affine)


@dataclass(frozen=True)
class Field:
    """What the positions of one node see. `dims` are its image dimensions (counted from the end), or None for none."""

    dims: tuple[int, int] | None
    axes: tuple[Axis, Axis]

    def flattened(self) -> Field:
        """The field of a value that mixes all positions."""
        return Field(None, (self.axes[0].hull(), self.axes[1].hull()))

    def with_axis(self, which: int, axis: Axis) -> Field:
        """This field with one of its axes exchanged."""
        return Field(self.dims, (axis, self.axes[1]) if which == 0 else (self.axes[0], axis))


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer, in pixels of the input, as (vertical, horizontal) pairs.

    `size`, `stride` and `offset` hold away from borders; they are None along an axis where every position sees a hull
    of its own (after global operations, squeeze-and-excitation or resizing). `box` is exact everywhere.
    """

    size: tuple[int | None, int | None]
    stride: tuple[int | None, int | None]
    offset: tuple[int | None, int | None]
    field: Field
    image: tuple[int, int]

    @classmethod
    def of(cls, field: Field, image: tuple[int, int]) -> ReceptiveField:
        """Summarise a field over an image of height x width."""
        a, b = (axis.affine for axis in field.axes)
        return cls(
            (a and a.size, b and b.size), (a and a.stride, b and b.stride), (a and a.offset, b and b.offset), field, image
        )  # fmt: skip

    def box(self, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
        """The pixels that one position can depend on: top, left, bottom, right, bottom and right exclusive."""
        edges = [
            (int(axis.low[i if len(axis.low) > 1 else 0]), int(axis.high[i if len(axis.low) > 1 else 0]) + 1)
            for axis, i in zip(self.field.axes, (row, column), strict=True)
        ]
        (top, bottom), (left, right) = edges
        return top, left, bottom, right


def propagate(graph: fx.Graph) -> dict[fx.Node, Field]:
    """The field of every node that depends on the pixels."""
    fields: dict[fx.Node, Field] = {}
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder":
            axes = [Axis(np.arange(n), np.arange(n), Affine(1, 1, 0)) for n in value.shape[-2:]]
            fields[node] = Field((-2, -1), (axes[0], axes[1]))
        elif node.op == "call_function" and any(n in fields for n in node.all_input_nodes):
            inputs = [fields[n] for n in node.all_input_nodes if n in fields]
            field = _step(node, inputs) if isinstance(value, Tensor) else inputs[0]
            fields[node] = field if field is not None else _mix_all(inputs)
    return fields


def _step(node: fx.Node, inputs: list[Field]) -> Field | None:
    """The field of one node from those of its inputs; None where the operation is not known to be local."""
    name = getattr(node.target, "overloadpacket", node.target)
    name = str(getattr(name, "__name__", name))
    if name in _RULES:
        return _RULES[name](node, inputs)
    tags = getattr(node.target, "tags", ())
    if torch.Tag.pointwise in tags or name in _POINTWISE:
        return _union(node, inputs)
    return None


_POINTWISE = {"batch_norm", "clone", "dropout", "contiguous", "_to_copy", "alias", "detach", "hardtanh", "relu6", "prelu",
              "rrelu", "hardsigmoid", "hardswish", "mish", "celu", "selu", "softplus", "where", "channel_shuffle",
              "native_channel_shuffle"}  # fmt: skip


def _mix_all(inputs: Sequence[Field]) -> Field:
    return _joined([field.flattened() for field in inputs])


def _joined(inputs: Sequence[Field]) -> Field:
    first, *others = inputs
    for other in others:
        dims = first.dims or other.dims
        first = Field(dims, (first.axes[0].joined(other.axes[0]), first.axes[1].joined(other.axes[1])))
    return first


def _union(node: fx.Node, inputs: list[Field]) -> Field | None:
    """Elementwise operations, with broadcasting."""
    spatial = {field.dims for field in inputs if field.dims}
    if len(spatial) > 1:
        return None
    dims, shape = next(iter(spatial), None), node.meta["val"].shape
    joined = _joined(inputs)
    if dims is None:
        return joined
    return Field(dims, (joined.axes[0].stretched(int(shape[dims[0]])), joined.axes[1].stretched(int(shape[dims[1]]))))


def _argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    value = node.args[index] if len(node.args) > index else node.kwargs.get(name, default)
    return default if value is None or value == [] else value


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _windows(node: fx.Node, field: Field, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Field:
    lengths = [int(n) for n in node.meta["val"].shape[-2:]]
    settings = zip(field.axes, lengths, _pair(kernel), _pair(stride), _pair(padding), _pair(dilation), strict=True)
    axes = [axis.windows(n, k, s, p, d) for axis, n, k, s, p, d in settings]
    return Field((-2, -1), (axes[0], axes[1]))


def _convolution(node: fx.Node, inputs: list[Field]) -> Field | None:
    weight = node.args[1]
    if not isinstance(weight, fx.Node) or len(inputs) > 1 or inputs[0].dims not in {None, (-2, -1)}:
        return None
    kernel = tuple(int(k) for k in weight.meta["val"].shape[-2:])
    stride, padding = _argument(node, 3, "stride", 1), _argument(node, 4, "padding", 0)
    dilation = _pair(_argument(node, 5, "dilation", 1))
    if padding == "valid":
        padding = 0
    elif padding == "same":  # PyTorch puts the odd one at the end, so the start gets the smaller half
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
                Axis(
                    np.array([axis.low[c].min() for c in cells]), np.array([axis.high[c].max() for c in cells]), None
                )
            )  # fmt: skip
    return Field((-2, -1), (axes[0], axes[1]))


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
    axes = tuple(axis.hull() if d in reduced else axis for axis, d in zip(field.axes, field.dims, strict=True))
    if node.meta["val"].ndim == before:
        return Field(field.dims, (axes[0], axes[1]))
    if reduced.isdisjoint(field.dims):  # a reduced dimension behind an image dimension moves it towards the end
        y, x = (d + sum(r > d for r in reduced) for d in field.dims)
        return Field((y, x), field.axes)
    return Field(None, (axes[0].hull(), axes[1].hull()))


def _normalisation(node: fx.Node, inputs: list[Field]) -> Field:
    """Layer norm mixes its last dimensions; group and instance norm mix all positions."""
    field = inputs[0]
    if "layer_norm" in str(node.target):
        mixed = set(range(-len(node.args[1]), 0))  # type: ignore[arg-type]
    else:
        mixed = {-2, -1}
    if field.dims is None:
        return field
    axes = [
        axis.hull().stretched(len(axis.low)) if d in mixed else axis
        for axis, d in zip(field.axes, field.dims, strict=True)
    ]
    return Field(field.dims, (axes[0], axes[1]))


def _softmax(node: fx.Node, inputs: list[Field]) -> Field:
    field, ndim, dim = inputs[0], node.meta["val"].ndim, int(node.args[1])  # type: ignore[arg-type]
    if field.dims is None:
        return field
    dim = dim if dim < 0 else dim - ndim
    axes = [
        axis.hull().stretched(len(axis.low)) if d == dim else axis
        for axis, d in zip(field.axes, field.dims, strict=True)
    ]
    return Field(field.dims, (axes[0], axes[1]))


def _linear(node: fx.Node, inputs: list[Field]) -> Field | None:
    """A linear layer mixes the last dimension only: a 1 x 1 convolution when channels are last."""
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
    """A reshape that leaves the image dimensions at the end keeps them (channel shuffle); any other mixes them."""
    before, after = node.all_input_nodes[0].meta["val"].shape, node.meta["val"].shape
    field = inputs[0]
    if field.dims == (-2, -1) and len(after) >= 2 and tuple(before[-2:]) == tuple(after[-2:]):  # noqa: PLR2004
        return field
    return None


def _concatenation(node: fx.Node, inputs: list[Field]) -> Field | None:
    ndim, dim = node.meta["val"].ndim, int(_argument(node, 1, "dim", 0))
    dim = dim if dim < 0 else dim - ndim
    dims = inputs[0].dims
    parts = node.args[0]
    if any(field.dims != dims for field in inputs) or dims is None or not isinstance(parts, list | tuple):
        return None
    if dim not in dims:
        return _union(node, inputs)
    if len(parts) != len(inputs):  # the same value twice, or a constant: keep it simple and safe
        return None
    which = dims.index(dim)
    joined = _joined([Field(dims, (f.axes[1 - which],) * 2) for f in inputs]).axes[0]
    low = np.concatenate([field.axes[which].low for field in inputs])
    high = np.concatenate([field.axes[which].high for field in inputs])
    return Field(dims, (joined, joined)).with_axis(which, Axis(low, high, None))


def _slice(node: fx.Node, inputs: list[Field]) -> Field:
    field, ndim, dim = inputs[0], node.meta["val"].ndim, int(_argument(node, 1, "dim", 0))
    dim = dim if dim < 0 else dim - ndim
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
    """Nearest and bilinear resizing; any other kind is treated as seeing everything."""
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
            axes.append(axis.take(first, None).joined(axis.take(np.clip(np.ceil(at), 0, n - 1).astype(np.int64), None)))
    return Field((-2, -1), (axes[0], axes[1]))


_RULES = {
    "conv2d": _convolution, "max_pool2d": _pooling, "max_pool2d_with_indices": _pooling, "avg_pool2d": _pooling,
    "adaptive_avg_pool2d": _adaptive_pooling, "adaptive_max_pool2d": _adaptive_pooling,
    "pad": _padding, "constant_pad_nd": _padding, "mean": _reduction, "sum": _reduction, "amax": _reduction,
    "layer_norm": _normalisation, "group_norm": _normalisation, "instance_norm": _normalisation,
    "softmax": _softmax, "_softmax": _softmax, "linear": _linear, "permute": _permute, "transpose": _permute,
    "view": _reshape, "reshape": _reshape, "_unsafe_view": _reshape, "cat": _concatenation, "slice": _slice,
    "upsample_nearest2d": _resize, "upsample_bilinear2d": _resize,
}  # fmt: skip
