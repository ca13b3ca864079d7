"""Feature maps that differ from those of the unedited image only in a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]
ZERO, LOWEST = 0, 1
"""The value outside the feature map: 0 (convolutions) or minus infinity (maximum pooling)."""


@dataclass(frozen=True, eq=False)
class Span:
    """Along one axis, per edit: the changed interval (low to high), and an interval of a common size around it."""

    low: Integers
    high: Integers
    start: Integers
    size: int
    length: int

    @classmethod
    def fit(cls, low: Integers, high: Integers, length: int) -> Span:
        """Intervals of a common size inside the feature map; where high <= low, nothing changed."""
        nothing = high <= low
        low, high = np.where(nothing, length, low), np.where(nothing, 0, high)
        size = min(length, max(1, int((high - low).max())))
        return cls(low, high, np.minimum(low, length - size), size, length)

    def slide(self, taps: Taps) -> Span:
        """The changed interval after sliding a window over this axis."""
        low = -((taps.reach - 1 - self.low - taps.before) // taps.stride)
        high = (self.high - 1 + taps.before) // taps.stride + 1
        return self.fit(np.maximum(low, 0), np.minimum(high, taps.length), taps.length)

    def union(self, other: Span) -> Span:
        """The interval that contains the changes of both."""
        return self.fit(np.minimum(self.low, other.low), np.maximum(self.high, other.high), self.length)


@dataclass(frozen=True)
class Taps:
    """A sliding window along one axis: `length` is the number of outputs, `before` the padding at the start."""

    kernel: int
    stride: int
    before: int
    dilation: int
    length: int

    @property
    def reach(self) -> int:
        """The number of positions it spans."""
        return (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True, eq=False)
class Region:
    """Positions along one axis, per edit: `count` from `start` on, `step` apart; they may lie outside the map."""

    start: Integers
    count: int
    step: int = 1

    @classmethod
    def of(cls, span: Span) -> Region:
        """The interval of a span."""
        return cls(span.start, span.size)

    @classmethod
    def under(cls, span: Span, taps: Taps) -> Region:
        """The inputs of the windows whose outputs are the span."""
        start = span.start * taps.stride - taps.before
        if taps.kernel == 1:
            return cls(start, span.size, taps.stride)
        return cls(start, (span.size - 1) * taps.stride + taps.reach)

    @classmethod
    def all(cls, span: Span) -> Region:
        """The whole axis."""
        return cls(np.zeros_like(span.start), span.length)

    def positions(self) -> Integers:
        """N x count."""
        return self.start[:, None] + np.arange(0, self.count * self.step, self.step)

    def equals(self, span: Span) -> bool:
        """Whether the positions are exactly those of a span."""
        same = self.count == span.size and (self.step == 1 or self.count == 1)
        return same and bool((self.start == span.start).all())


Rectangle = tuple[Span, Span]
"""Rows and columns."""


class CleanMap:
    """The feature map of the unedited image, as a table of positions with room for changed positions at the end."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        _, self.channels, self.height, self.width = values.shape
        self._table: Tensor | None = None

    @property
    def count(self) -> int:
        """The number of constant rows of the table: the positions, and two for values outside the map."""
        return self.height * self.width + 2

    def table(self, changed: Tensor | None) -> Tensor:
        """The table with the changed rectangles (N x C x h x w) after the clean positions."""
        rows = self.values.new_empty(0, self.channels) if changed is None else as_rows(changed)
        if self._table is None or len(self._table) < self.count + len(rows):
            clean = as_rows(self.values)
            self._table = clean.new_empty(self.count + len(rows), self.channels)
            self._table[: self.count - 2] = clean
            self._table[self.count - 2 + ZERO] = 0
            self._table[self.count - 2 + LOWEST] = -torch.inf
        self._table[self.count : self.count + len(rows)] = rows
        return self._table


def as_rows(values: Tensor) -> Tensor:
    """N x C x H x W as a table with one row per position."""
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


@dataclass(eq=False)
class EditedMap:
    """A feature map of every edited image: the clean one except for a rectangle (N x C x h x w)."""

    values: Tensor
    rectangle: Rectangle
    clean: CleanMap
    _table: Tensor | None = field(default=None, init=False)
    _full: Tensor | None = field(default=None, init=False)

    def read(self, rows: Region, columns: Region, outside: int = ZERO) -> Tensor:
        """The feature map of every edited image at these positions, N x C x rows x columns."""
        if rows.equals(self.rectangle[0]) and columns.equals(self.rectangle[1]):
            return self.values
        if self._table is None:
            self._table = self.clean.table(self.values)
        return _gather(self._table, self.clean, self.rectangle, (rows, columns), outside)

    def around(self, rows: Region, columns: Region) -> Tensor:
        """The clean feature map at these positions, all inside the map."""
        return _gather(self.clean.table(None), self.clean, None, (rows, columns), ZERO)

    def forget(self) -> None:
        """Drop the cached feature map."""
        self._table = self._full = None

    def full(self) -> Tensor:
        """The whole feature map of every edited image."""
        if self._full is None:
            self._full = self.read(Region.all(self.rectangle[0]), Region.all(self.rectangle[1]))
        return self._full

    def change(self) -> Tensor:
        """The change of the sum over all positions, N x C x 1 x 1."""
        regions = Region.of(self.rectangle[0]), Region.of(self.rectangle[1])
        return (self.values - self.around(*regions)).sum((2, 3), keepdim=True)


def union(rectangles: Sequence[Rectangle]) -> Rectangle:
    """The rectangle that contains all changes."""
    rows, columns = rectangles[0]
    for other in rectangles[1:]:
        rows, columns = rows.union(other[0]), columns.union(other[1])
    return rows, columns


def _gather(
    table: Tensor, clean: CleanMap, changed: Rectangle | None, regions: tuple[Region, Region], outside: int
) -> Tensor:
    """Look up every position: changed, clean, or outside the map."""
    y, x = (region.positions() for region in regions)
    index = (y * clean.width)[:, :, None] + x[:, None, :]
    if changed is not None:
        rows, columns = changed
        v, u = y - rows.start[:, None], x - columns.start[:, None]
        inside = ((v >= 0) & (v < rows.size))[:, :, None] & ((u >= 0) & (u < columns.size))[:, None, :]
        first = clean.count + np.arange(len(v))[:, None] * (rows.size * columns.size)
        index = np.where(inside, (first + v * columns.size)[:, :, None] + u[:, None, :], index)
    if y.min() < 0 or y.max() >= clean.height or x.min() < 0 or x.max() >= clean.width:
        known = ((y >= 0) & (y < clean.height))[:, :, None] & ((x >= 0) & (x < clean.width))[:, None, :]
        index = np.where(known, index, clean.count - 2 + outside)
    found = table.index_select(0, torch.from_numpy(index.reshape(-1).astype(np.int32)).to(table.device))
    return found.view(*index.shape, clean.channels).permute(0, 3, 1, 2)
