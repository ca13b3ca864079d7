"""Compute operations on changed rectangles where possible, and on whole feature maps otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from deeptroubles.network.incremental.rectangles import ZERO, EditedMap, Rectangle, Region, Taps, union


@dataclass(eq=False)
class Step:
    """One operation of the network: the node of its result, and those of its inputs."""

    node: fx.Node
    inputs: tuple[fx.Node, ...]

    def dense(self, *values: Any) -> Any:
        """The result for whole feature maps."""
        raise NotImplementedError


@dataclass(eq=False)
class Whole(Step):
    """An operation as in the graph, computed on whole feature maps."""

    function: Callable[..., Any]
    arguments: Callable[[dict[fx.Node, Any]], tuple[tuple[Any, ...], dict[str, Any]]]

    def dense(self, *values: Any) -> Any:
        """The result for whole feature maps."""
        positional, named = self.arguments(dict(zip(self.inputs, values, strict=True)))
        return self.function(*positional, **named)


@dataclass(eq=False)
class LocalStep(Step):
    """An operation whose output changes in a rectangle if its inputs change in rectangles."""

    def rectangle(self, inputs: Sequence[Rectangle]) -> Rectangle:
        """The changed rectangle of the output."""
        return union(inputs)

    def local(self, inputs: Sequence[EditedMap], rectangle: Rectangle) -> Tensor:
        """The output on the rectangle."""
        raise NotImplementedError


@dataclass(eq=False)
class Pointwise(Whole, LocalStep):
    """A pointwise operation on one or several feature maps, also batch normalization and concatenation."""

    def local(self, inputs: Sequence[EditedMap], rectangle: Rectangle) -> Tensor:
        """The output on the rectangle."""
        rows, columns = (Region.of(span) for span in rectangle)
        result: Tensor = self.dense(*(value.read(rows, columns) for value in inputs))
        return result


@dataclass(eq=False)
class Sliding(LocalStep):
    """A sliding window: pooling, and padding as a window of one position."""

    taps: tuple[Taps, Taps]
    outside: int
    whole: Callable[[Tensor], Tensor]
    inner: Callable[[Tensor], Tensor]

    def dense(self, *values: Any) -> Any:
        """The result for whole feature maps."""
        return self.whole(values[0])

    def rectangle(self, inputs: Sequence[Rectangle]) -> Rectangle:
        """The changed rectangle of the output."""
        return slide(inputs[0], self.taps)

    def local(self, inputs: Sequence[EditedMap], rectangle: Rectangle) -> Tensor:
        """The output on the rectangle."""
        return self.inner(inputs[0].read(*_under(rectangle, self.taps), self.outside))


@dataclass(eq=False)
class GlobalMean(Step):
    """The mean over positions: the clean mean plus the change."""

    keep: bool

    def dense(self, *values: Any) -> Any:
        """The result for whole feature maps."""
        return values[0].mean((2, 3), keepdim=self.keep)

    def updated(self, value: EditedMap) -> Tensor:
        """The mean for every edited image, from the changed rectangles."""
        clean = value.clean.values
        mean = clean.mean((2, 3), keepdim=True) + value.change() / (clean.shape[2] * clean.shape[3])
        return mean if self.keep else mean[:, :, 0, 0]


@dataclass(frozen=True)
class Activation:
    """The activation after a convolution: the operation, and its name and numbers in oneDNN."""

    function: Callable[[Tensor], Tensor]
    fused: tuple[str, list[float], str]


@dataclass(eq=False)
class Convolution(LocalStep):
    """A convolution fused with batch normalization, the addition of a residual, and the activation.

    The first input is convolved; the second, if there is one, is added to the output.
    """

    weight: Tensor
    bias: Tensor | None
    taps: tuple[Taps, Taps]
    after: tuple[int, int]
    groups: int
    activation: Activation | None

    def __post_init__(self) -> None:
        self.weight = self.weight.contiguous(memory_format=torch.channels_last)
        self._packed: Tensor | None = None
        self._fusible = True

    def dense(self, *values: Any) -> Any:
        """The result for whole feature maps."""
        rows, columns = self.taps
        padding = (rows.before, columns.before)
        x = values[0]
        if self.after != padding:
            x = functional.pad(x, (columns.before, self.after[1], rows.before, self.after[0]))
            padding = (0, 0)
        return self._convolve(x, (rows.stride, columns.stride), padding, *values[1:])

    def rectangle(self, inputs: Sequence[Rectangle]) -> Rectangle:
        """The changed rectangle of the output."""
        return union([slide(inputs[0], self.taps), *inputs[1:]])

    def local(self, inputs: Sequence[EditedMap], rectangle: Rectangle) -> Tensor:
        """The output on the rectangle."""
        x = inputs[0].read(*_under(rectangle, self.taps), ZERO)
        rest = (value.read(Region.of(rectangle[0]), Region.of(rectangle[1])) for value in inputs[1:])
        strides = tuple(1 if taps.kernel == 1 else taps.stride for taps in self.taps)
        return self._convolve(x, (strides[0], strides[1]), (0, 0), *rest)

    def _convolve(self, x: Tensor, stride: tuple[int, int], padding: tuple[int, int], *residual: Tensor) -> Tensor:
        dilation = (self.taps[0].dilation, self.taps[1].dilation)
        settings = (padding, stride, dilation, self.groups)
        if self._fusible and _has_onednn(x):
            try:
                return self._fused(x, settings, *residual)
            except RuntimeError:  # oneDNN does not support this convolution, or this CPU
                self._fusible = False
        y = functional.conv2d(x, self.weight, self.bias, stride, padding, dilation, self.groups)
        for other in residual:
            y += other
        return y if self.activation is None else self.activation.function(y)

    def _fused(self, x: Tensor, settings: tuple[Any, ...], *residual: Tensor) -> Tensor:
        """A single call of oneDNN, so that the output passes through memory once."""
        onednn = torch.ops.mkldnn
        if self._packed is None:
            self._packed = onednn._reorder_convolution_weight(self.weight, *settings, list(x.shape))  # noqa: SLF001
        name, numbers, algorithm = self.activation.fused if self.activation else ("none", list[float](), "")
        if residual:
            unary = None if name == "none" else name
            found = onednn._convolution_pointwise.binary(  # noqa: SLF001
                x, residual[0], self._packed, self.bias, *settings, "add", 1.0, unary, numbers, algorithm
            )
        else:
            found = onednn._convolution_pointwise(  # noqa: SLF001
                x, self._packed, self.bias, *settings, name, numbers, algorithm
            )
        result: Tensor = found
        return result


def slide(rectangle: Rectangle, taps: tuple[Taps, Taps]) -> Rectangle:
    """The changed rectangle after sliding a window over an image."""
    return rectangle[0].slide(taps[0]), rectangle[1].slide(taps[1])


def _under(rectangle: Rectangle, taps: tuple[Taps, Taps]) -> tuple[Region, Region]:
    return Region.under(rectangle[0], taps[0]), Region.under(rectangle[1], taps[1])


def _has_onednn(x: Tensor) -> bool:
    """Whether oneDNN can compute the fused operation."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
