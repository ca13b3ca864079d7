"""Turn a traced network into a list of steps, and decide which can be computed on a changed rectangle alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from deeptroubles.network.batch_norm_fusion import fuse_batch_norm
from deeptroubles.network.incremental.rectangles import LOWEST, ZERO, Taps
from deeptroubles.network.incremental.steps import Activation, Convolution, GlobalMean, Pointwise, Sliding, Step, Whole
from deeptroubles.network.traced import TracedNetwork

_aten = torch.ops.aten
_ANY_LAYOUT = {_aten.view.default: _aten.reshape.default, _aten._unsafe_view.default: _aten.reshape.default}  # noqa: SLF001
_PER_CHANNEL = {_aten.batch_norm.default, _aten.prelu.default}
_LOCAL = _PER_CHANNEL | {
    _aten.clone.default,
    _aten.hardtanh.default,
    _aten.hardsigmoid.default,
    _aten.hardswish.default,
    _aten.mish.default,
    _aten.celu.default,
    _aten.selu.default,
    _aten.softplus.default,
    _aten.alias.default,
}
"""Pointwise operations that PyTorch does not tag as such."""
_ONEDNN: dict[Any, Callable[..., tuple[str, list[float], str]]] = {
    _aten.relu.default: lambda: ("relu", [], ""),
    _aten.hardtanh.default: lambda low=-1.0, high=1.0: ("hardtanh", [low, high], ""),
    _aten.silu.default: lambda: ("swish", [], ""),
    _aten.hardswish.default: lambda: ("hardswish", [], ""),
}


_Pair = tuple[int, int]
_Pooling = tuple[tuple[_Pair, _Pair, _Pair, _Pair], Callable[[Tensor], Tensor]]


class Program:
    """The steps in the order in which they are computed. Batch normalization is fused with convolutions.

    Attributes:
        pixels: The node of the input.
        logits: The node of the output.
        batch: The nodes that hold the batch size.
        steps: Everything in between, weights included.
        last_use: By node, the last step that uses its value.
    """

    def __init__(self, network: TracedNetwork) -> None:
        network = fuse_batch_norm(network)
        nodes = list(network.graph.nodes)
        self.pixels: fx.Node = next(n for n in nodes if n.op == "placeholder")
        self.logits: fx.Node = next(n for n in nodes if n.op == "output").all_input_nodes[0]
        needed = _needed(self.logits)
        self.batch = {n for n in nodes if n.target is _aten.sym_size.int and n.args[1] == 0}
        varying = _varying(nodes, self.pixels)
        blank = torch.zeros(1, *self.pixels.meta["val"].shape[1:], device=network.device)
        constant = [n for n in nodes if n in needed and n not in varying]
        self._constants = network.values(blank, constant)
        self._absorbed: dict[fx.Node, fx.Node] = {}
        computed = [n for n in nodes if n in needed and n in varying and n is not self.pixels and n not in self.batch]
        convolutions = [step for node in computed if (step := self._convolution(node)) is not None]
        inside = {n for n, end in self._absorbed.items() if n is not end}
        by_node: dict[fx.Node, Step] = {step.node: step for step in convolutions}
        self.steps = [by_node.get(node) or self._step(node) for node in computed if node not in inside]
        self.last_use = {node: i for i, step in enumerate(self.steps) for node in step.inputs}

    def _step(self, node: fx.Node) -> Step:
        """The step of an operation other than a convolution."""
        if _is_mean(node):
            return GlobalMean(node, self._inputs(node), node.meta["val"].ndim == 4)
        sliding = _sliding(node) if _is_image(node) and all(map(_is_image, self._inputs(node))) else None
        if sliding is not None:
            return sliding
        kind, target = Pointwise if self._is_local(node) else Whole, _target(node)
        return kind(node, self._inputs(node), _ANY_LAYOUT.get(target, target), self._filler(node))

    def _inputs(self, node: fx.Node) -> tuple[fx.Node, ...]:
        return tuple(n for n in node.all_input_nodes if n not in self._constants)

    def _filler(self, node: fx.Node) -> Callable[[dict[fx.Node, Any]], tuple[tuple[Any, ...], dict[str, Any]]]:
        constants, positional, named = self._constants, node.args, node.kwargs

        def fill(values: dict[fx.Node, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            def look(n: fx.Node) -> Any:
                return values[n] if n in values else constants[n]

            return fx.map_arg(positional, look), fx.map_arg(named, look)

        return fill

    def _is_local(self, node: fx.Node) -> bool:
        """Whether each position of the result depends on the same position of the inputs only."""
        if not _is_image(node) or not all(map(_is_image, self._inputs(node))):
            return False
        size = _shape(node)[2:]
        if any(_shape(n)[2:] != size for n in self._inputs(node)):
            return False
        if node.target not in _PER_CHANNEL and any(
            isinstance(value, Tensor) and (value.ndim > 4 or any(s > 1 for s in value.shape[-2:]))
            for value in map(self._constants.get, node.all_input_nodes)
        ):
            return False
        if node.target is _aten.cat.default:
            return (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) in {1, -3}
        return node.target in _LOCAL or torch.Tag.pointwise in getattr(node.target, "tags", ())

    def _convolution(self, node: fx.Node) -> Step | None:
        """The step of a convolution, with the padding before it and the addition and activation after it; else None."""
        if node.target not in {_aten.conv2d.default, _aten.conv2d.padding} or not _is_image(node):
            return None
        arguments: list[Any] = [*node.args, *[None] * (7 - len(node.args))]
        source, weight, bias, *rest = arguments
        if weight not in self._constants or (bias is not None and bias not in self._constants):
            return None
        weight, bias = self._constants[weight], self._constants.get(bias)
        stride, dilation = _pair(rest[0], 1), _pair(rest[2], 1)
        before, after = _padding(rest[1], weight.shape[2:], dilation)
        pads = _zero_pads(source)
        if pads is not None and len(source.users) == 1:
            self._absorbed[source] = node
            source = source.args[0]
            before, after = (before[0] + pads[0], before[1] + pads[2]), (after[0] + pads[1], after[1] + pads[3])
        taps = [Taps(*t) for t in zip(weight.shape[2:], stride, before, dilation, _shape(node)[2:], strict=True)]
        end, inputs, activation = self._followers(node, source)
        return Convolution(end, inputs, weight, bias, (taps[0], taps[1]), after, int(rest[3] or 1), activation)

    def _followers(self, node: fx.Node, source: fx.Node) -> tuple[fx.Node, tuple[fx.Node, ...], Activation | None]:
        """The addition and the activation after a convolution, if they are the only users of its output."""
        end, activation = node, None
        inputs: tuple[fx.Node, ...] = (source,)
        after = _only_user(end)
        if after is not None and after.target is _aten.add.Tensor and not after.kwargs and after not in self._absorbed:
            other = next((n for n in after.all_input_nodes if n is not end), None)
            if other is not None and other not in self._constants and _shape(other) == _shape(end):
                end, inputs = after, (source, other)
                self._absorbed[node] = self._absorbed[after] = after
        after = _only_user(end)
        if after is not None and after.target in _ONEDNN and not after.kwargs:
            fused = _ONEDNN[after.target](*after.args[1:])
            activation = Activation(partial(_apply, _target(after), after.args[1:]), fused)
            self._absorbed[end] = self._absorbed[after] = after
            self._absorbed[node] = end = after
        return end, inputs, activation


def _target(node: fx.Node) -> Any:
    return node.target


def _apply(function: Callable[..., Tensor], arguments: tuple[Any, ...], x: Tensor) -> Tensor:
    return function(x, *arguments)


def _needed(logits: fx.Node) -> set[fx.Node]:
    found, stack = set[fx.Node](), [logits]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += node.all_input_nodes
    return found


def _varying(nodes: list[fx.Node], pixels: fx.Node) -> set[fx.Node]:
    """The nodes that depend on the pixels."""
    found = {pixels}
    for node in nodes:
        if any(n in found for n in node.all_input_nodes):
            found.add(node)
    return found


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of a value, with 0 as the batch size."""
    return (0, *(int(n) for n in node.meta["val"].shape[1:]))


def _is_image(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.ndim == 4


def _pair(value: Any, default: int) -> tuple[int, int]:
    value = default if value is None or value == [] else value
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _padding(padding: Any, kernel: Any, dilation: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The padding before and after, each for rows and columns."""
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return (total[0] // 2, total[1] // 2), (total[0] - total[0] // 2, total[1] - total[1] // 2)
    pair = _pair(0 if padding == "valid" else padding, 0)
    return pair, pair


def _zero_pads(node: Any) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of zero padding that crops nothing; None for anything else."""
    if not isinstance(node, fx.Node) or node.target not in {_aten.constant_pad_nd.default, _aten.pad.default}:
        return None
    amounts = [int(p) for p in node.args[1]]  # type: ignore[union-attr,arg-type]
    rest = [a for a in (*node.args[2:], *node.kwargs.values()) if a not in {0, "constant", None}]
    if rest or not 0 < len(amounts) <= 4 or min(amounts) < 0 or not _is_image(node):
        return None
    left, right, top, bottom = (*amounts, 0, 0)[:4]
    return top, bottom, left, right


def _sliding(node: fx.Node) -> Sliding | None:
    """The step of a pooling or of zero padding; None for anything else."""
    if node.kwargs:
        return None
    source, shape = node.all_input_nodes[0], _shape(node)[2:]
    whole = partial(_apply, _target(node), node.args[1:])
    if (pads := _zero_pads(node)) is not None:
        taps = (Taps(1, 1, pads[0], 1, shape[0]), Taps(1, 1, pads[2], 1, shape[1]))
        return Sliding(node, (source,), taps, ZERO, whole, lambda x: x)
    pooling = _pooling(node, shape, _shape(source)[2:])
    if pooling is None:
        return None
    settings, inner = pooling
    if any(kernel == 1 < stride for kernel, stride in zip(*settings[:2], strict=True)):
        return None
    rows, columns = (Taps(*axis) for axis in zip(*settings, shape, strict=True))
    outside = LOWEST if node.target is _aten.max_pool2d.default else ZERO
    return Sliding(node, (source,), (rows, columns), outside, whole, inner)


def _pooling(node: fx.Node, shape: tuple[int, ...], before: tuple[int, ...]) -> _Pooling | None:
    """Kernel, stride, padding and dilation, and the pooling of a rectangle inside the image."""
    arguments: list[Any] = [*node.args[1:], *[None] * 6]
    if node.target is _aten.adaptive_avg_pool2d.default and all(b % n == 0 for b, n in zip(before, shape, strict=True)):
        kernel = (before[0] // shape[0], before[1] // shape[1])
        return (kernel, kernel, (0, 0), (1, 1)), partial(_average, kernel=kernel, stride=kernel)
    if node.target not in {_aten.max_pool2d.default, _aten.avg_pool2d.default}:
        return None
    kernel, padding = _pair(arguments[0], 1), _pair(arguments[2], 0)
    stride = _pair(arguments[1], 0) if arguments[1] else kernel
    if node.target is _aten.max_pool2d.default:
        dilation = _pair(arguments[3], 1)
        inner = partial(functional.max_pool2d, kernel_size=kernel, stride=stride, dilation=dilation)
        return (kernel, stride, padding, dilation), inner
    ceil, counts_borders, divisor = arguments[3], arguments[4] is not False, arguments[5]
    if ceil or (padding != (0, 0) and not counts_borders):
        return None
    return (kernel, stride, padding, (1, 1)), partial(_average, kernel=kernel, stride=stride, divisor=divisor)


def _average(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], divisor: int | None = None) -> Tensor:
    return functional.avg_pool2d(x, kernel, stride, divisor_override=divisor)


def _is_mean(node: fx.Node) -> bool:
    if not node.all_input_nodes or not _is_image(node.all_input_nodes[0]) or node.kwargs:
        return False
    if node.target is _aten.adaptive_avg_pool2d.default:
        return _shape(node)[2:] == (1, 1)
    dims = node.args[1] if node.target is _aten.mean.dim else ()
    return isinstance(dims, list | tuple) and sorted(d % 4 for d in dims if isinstance(d, int)) == [2, 3]
