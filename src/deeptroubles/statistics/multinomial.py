"""Simultaneous intervals for the shares of several categories."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval, wilson


def multinomial(counts: NDArray[Any], level: float = 0.95) -> list[Interval]:
    """The share of each of K categories, with simultaneous intervals (Wilson's, with Bonferroni's correction).

    Args:
        counts: K, the number of occurrences of each category.
        level: Level at which all K intervals hold.

    References:
        L. A. Goodman: On simultaneous confidence intervals for multinomial proportions, Technometrics 1965.
    """
    total, each = int(counts.sum()), 1 - (1 - level) / max(1, len(counts))
    return [wilson(int(count), total, each) for count in counts]
