"""Positions at equal distances: the sample that is taken where there is no reason to draw one at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the positions from 0 to `count` - 1, ascending; the first and the last are among several."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
