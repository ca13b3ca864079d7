"""More than 8 bits: which stored values are black and white, by one rule for all images of a set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.errors import UsageError

_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
"""The largest numbers of 8, 10, 12, 14 and 16 bits, which is what detectors have."""


@dataclass(frozen=True)
class ValueRange:
    """The stored values that are black (`low`) and white (`high`)."""

    low: float
    high: float

    def shades(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale values of any shape to 8 bits. What is outside of the range is black or white, NaN is black."""
        shares = (values.astype(np.float32) - self.low) / ((self.high - self.low) or 1)
        known = np.nan_to_num(shares, nan=0.0, posinf=0.0, neginf=0.0)
        return np.asarray(np.rint(np.clip(known, 0, 1) * 255), dtype=np.uint8)

    def __str__(self) -> str:
        return f"{self.low:g} is black and {self.high:g} is white"


@dataclass(frozen=True)
class Extent:
    """The smallest and the largest value of an image, and whether its values are whole numbers."""

    low: float
    high: float
    whole: bool

    @classmethod
    def of(cls, values: NDArray[Any], *, whole: bool) -> Extent:
        """The extent of finite values; from 0 to 0 where there are none."""
        known = values[np.isfinite(values)]
        return cls(float(known.min()), float(known.max()), whole) if known.size else cls(0.0, 0.0, whole)


@dataclass(frozen=True, eq=False)
class DeepImage:
    """An image with more than 8 bits.

    Attributes:
        values: H x W.
        whole: Whether they are whole numbers.
        window: The range that the file itself asks for, if it does.
        comparable: Whether a value means the same in every image, as it does in CT (Hounsfield units).
        inverted: Whether high values are dark.
    """

    values: NDArray[Any]
    whole: bool
    window: ValueRange | None = None
    comparable: bool = True
    inverted: bool = False

    @property
    def has_own_window(self) -> bool:
        """Whether it is shown in the window of its own file and not in a range that it shares with others."""
        return self.window is not None and not self.comparable

    @property
    def extent(self) -> Extent:
        """What it adds to the common range: its window where values are comparable, its values otherwise."""
        if self.window:
            return Extent(self.window.low, self.window.high, whole=False)
        return Extent.of(self.values, whole=self.whole)

    def shades(self, common: ValueRange) -> NDArray[np.uint8]:
        """The image in 8 bits, in a given range."""
        shades = common.shades(self.values)
        return 255 - shades if self.inverted else shades


def common_range(extents: Sequence[Extent]) -> ValueRange:
    """The range for all images of a set.

    Whole numbers from 0 on: up to the largest number of 8, 10, 12, 14 or 16 bits that holds them all. Fractions in
    [0, 1]: from 0 to 1. All else, such as signed numbers: from the smallest value of all images to the largest.
    """
    low, high = min(e.low for e in extents), max(e.high for e in extents)
    if low >= 0 and all(e.whole for e in extents):
        scale = next((scale for scale in _FULL_SCALES if scale >= high), None)
        return ValueRange(low, high) if scale is None else ValueRange(0, scale)
    return ValueRange(0, 1) if low >= 0 and high <= 1 else ValueRange(low, high)


def parse_range(text: str) -> ValueRange:
    """Read LOW:HIGH. Raises UsageError."""
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = 0.0
    if not (low < high and math.isfinite(high - low)):
        raise UsageError(f"{text!r} is not a range of values; write LOW:HIGH, such as 0:4095 or -1000:400.")
    return ValueRange(low, high)
