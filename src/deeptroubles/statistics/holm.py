"""Correction for multiple tests (Holm)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def holm(p_values: NDArray[Any]) -> NDArray[np.float64]:
    """Correct the p-values of M tests, controlling the family-wise error rate.

    Args:
        p_values: M, in [0, 1].

    Returns:
        M, in [0, 1], in the same order.

    References:
        S. Holm: A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(count)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * np.arange(count, 0, -1)))
    return corrected
