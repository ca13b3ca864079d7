"""The receptive field of a value: the pixels that each position depends on, along each image axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTHING = (1 << 30, -1)
"""The interval of a position that depends on no pixel (zero padding): the neutral element of the union."""


@dataclass(frozen=True)
class Affine:
    """Away from borders, position i depends on the `size` pixels from `offset + i * stride` on."""

    size: int
    stride: int
    offset: int


@dataclass(frozen=True)
class Axis:
    """The pixels that the positions along one image axis depend on. Length 1 stands for all positions."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    affine: Affine | None

    def take(self, index: NDArray[np.int64], affine: Affine | None) -> Axis:
        """The axis whose position i is position index[i] of this one; an index outside depends on nothing."""
        inside = (index >= 0) & (index < len(self.low))
        safe = np.where(inside, index, 0)
        return Axis(np.where(inside, self.low[safe], NOTHING[0]), np.where(inside, self.high[safe], NOTHING[1]), affine)

    def hull(self) -> Axis:
        """One position that depends on everything that any position depends on."""
        return Axis(self.low.min(keepdims=True), self.high.max(keepdims=True), None)

    def broadcast(self, length: int) -> Axis:
        """The same axis, with a length of 1 expanded."""
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

    def union(self, other: Axis) -> Axis:
        """The union with another axis (equal lengths, or one of them 1)."""
        affine = None
        if self.affine and other.affine and self.affine.stride == other.affine.stride:
            start = min(self.affine.offset, other.affine.offset)
            end = max(self.affine.offset + self.affine.size, other.affine.offset + other.affine.size)
            affine = Affine(end - start, self.affine.stride, start)
        return Axis(np.minimum(self.low, other.low), np.maximum(self.high, other.high), affine)


@dataclass(frozen=True)
class Field:
    """The receptive field of a node. `dims` are its image dimensions, counted from the end; None if it has none."""

    dims: tuple[int, int] | None
    axes: Sequence[Axis]

    def mixed(self) -> Field:
        """The field of a value in which all positions are mixed."""
        return Field(None, (self.axes[0].hull(), self.axes[1].hull()))

    def with_axis(self, which: int, axis: Axis) -> Field:
        """This field with one axis replaced."""
        return Field(self.dims, (axis, self.axes[1]) if which == 0 else (self.axes[0], axis))


def union(inputs: Sequence[Field]) -> Field:
    """The union of the fields of several inputs, position by position."""
    first, *others = inputs
    for other in others:
        dims = first.dims or other.dims
        first = Field(dims, (first.axes[0].union(other.axes[0]), first.axes[1].union(other.axes[1])))
    return first
