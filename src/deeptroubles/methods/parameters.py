"""The types of methods' parameters that have a range; the command line and the reference read the ranges from them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval

Count = Annotated[int, Ge(1)]
"""A number of things, at least one."""
Several = Annotated[int, Ge(2)]
Seed = Annotated[int, Ge(0)]
"""Decides everything random."""
Share = Annotated[float, Interval(ge=0, le=1)]
"""A part of a whole."""
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Ratio = Annotated[float, Gt(1)]
"""A size as a multiple of the next smaller one."""
Severity = Annotated[int, Interval(ge=1, le=5)]
"""How strong a corruption of ImageNet-C is."""
