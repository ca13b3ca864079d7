"""How well each property of images predicts their label, compared with chance and corrected for unequal classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.methods.properties.cells import Cells
from deeptroubles.statistics.balanced_accuracy import (
    beyond_chance,
    beyond_chance_interval,
    cell_counts,
    left_out_recall,
)
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval

_AT_ONCE = 50


@dataclass(frozen=True, repr=False)
class Correlation(Brief):
    """How well a property predicts the label.

    Attributes:
        name: The property.
        one_class: The class that it separates best from all others; None if it predicts all classes better.
        strength: Balanced accuracy of the property alone, rescaled from chance (0) to perfect (1); its interval holds
            for all properties together. Its lower end is at most the strength minus that of shuffled labels.
        p: How often shuffled labels reach the strength, corrected for the number of properties (Holm).
        counts: The number of images of each class in each cell, C x K.
        cells: The names of the cells.
    """

    name: str
    one_class: int | None
    strength: Interval
    p: float
    counts: NDArray[np.int64]
    cells: tuple[str, ...]


def label_correlations(
    properties: Mapping[str, Cells],
    classes: NDArray[np.integer],
    *,
    seed: int = 0,
    shuffles: int = 999,
    level: float = 0.95,
) -> list[Correlation]:
    """How well each property predicts the class.

    Each property is tested for all classes, and for each class against all others; the best of these counts, for true
    and for shuffled labels. The predicted class of a sample is the one with the largest share of its other samples in
    the same cell, so all classes have the same weight: noise predicts nothing with classes of 80% and 20%.

    Args:
        properties: The cell of each of N samples, and the names of the cells, by the name of the property.
        classes: N, from 0 to K - 1; at least two of each, and K at least 2.
        seed: Seed of the shuffles.
        shuffles: How often labels are shuffled.
        level: Level of all intervals together.

    Returns:
        One per property, in the same order.
    """
    found = {name: cell_counts(cells, classes) for name, (cells, _) in properties.items()}
    strengths = {name: float(_strengths(counts).max()) for name, counts in found.items()}
    by_chance: dict[str, list[NDArray[np.float64]]] = {name: [] for name in properties}
    random = np.random.default_rng(seed)
    for start in range(0, shuffles, _AT_ONCE):
        many = min(_AT_ONCE, shuffles - start)
        shuffled = random.permuted(np.broadcast_to(classes, (many, len(classes))), axis=1)
        for name, (cells, _) in properties.items():
            by_chance[name].append(_strengths(cell_counts(cells, shuffled)).max(-1))
    each = 1 - (1 - level) / max(1, len(properties))
    p_values, intervals, best_classes = [], [], []
    for name in properties:
        chance = np.concatenate(by_chance[name])
        p_values.append((1 + (chance >= strengths[name] - 1e-12).sum()) / (1 + shuffles))
        ways = _ways(found[name])
        best = int(np.argmax(_strengths(found[name])))
        best_classes.append(best - 1 if best else None)
        samples, of_way = ways[best].sum(0), 1 - (1 - each) / len(ways)
        interval = beyond_chance_interval(left_out_recall(ways[best]), samples, of_way)
        # Samples in one cell are correct or wrong together, so an interval from their number alone is too narrow.
        above = max(0.0, strengths[name] - float(np.quantile(chance, each, method="higher")))
        intervals.append(interval._replace(low=min(interval.low, above)))
    corrected = holm(np.array(p_values))
    return [
        Correlation(name, which, interval, float(p), found[name], cells[1])
        for (name, cells), which, interval, p in zip(
            properties.items(), best_classes, intervals, corrected, strict=True
        )
    ]


def _ways(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The counts (... x C x K) of all classes, and if there are more than two, of each class against the others."""
    if counts.shape[-1] == 2:
        return [counts]
    rest = counts.sum(-1, keepdims=True) - counts
    return [counts, *(np.stack([counts[..., k], rest[..., k]], axis=-1) for k in range(counts.shape[-1]))]


def _strengths(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The strength of the cells in each of these ways, ... x ways."""
    return np.stack([beyond_chance(left_out_recall(way)) for way in _ways(counts)], axis=-1)
