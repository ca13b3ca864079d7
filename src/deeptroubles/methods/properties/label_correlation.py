"""How well each property of images predicts their label, next to chance and corrected for unequal classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from torch import Tensor

from deeptroubles.methods.properties.cells import Cells, point_cells
from deeptroubles.methods.properties.image_properties import image_properties
from deeptroubles.statistics.balanced_accuracy import (
    beyond_chance,
    beyond_chance_interval,
    cell_counts,
    left_out_recall,
)
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval

_AT_ONCE = 50


@dataclass(frozen=True)
class Correlation:
    """What a property tells of the label.

    Attributes:
        name: The property.
        told: The index of the class that it tells best from all others; None where it tells all classes better.
        strength: How far telling by the property alone is on the way from guessing (0) to always right (1);
            its interval holds for all properties together. Its lower end is no higher than what the strength has above
            what shuffled labels reach.
        p: How often shuffled labels are told as well, corrected for the number of properties (Holm).
        counts: How many images of each class are in each of its cells, C x K.
        cells: The names of the cells.
    """

    name: str
    told: int | None
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
    """How well each property tells the class.

    Each property is asked for all classes, and for each class against all others; the best of these counts, for the
    true labels as for shuffled ones. A sample's class is told by which class has the largest share of its other samples
    in the same cell, so that classes count alike however many samples they have: noise tells nothing of classes of 80
    and 20 %.

    Args:
        properties: The cell of each of N samples, and the names of the cells, by the name of the property.
        classes: N, from 0 to K - 1; at least two of each, and K at least 2.
        seed: Of the shuffled labels.
        shuffles: How often labels are shuffled.
        level: Of all intervals together.

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
    p_values, intervals, told = [], [], []
    for name in properties:
        chance = np.concatenate(by_chance[name])
        p_values.append((1 + (chance >= strengths[name] - 1e-12).sum()) / (1 + shuffles))
        ways = _ways(found[name])
        best = int(np.argmax(_strengths(found[name])))
        told.append(best - 1 if best else None)
        samples, of_way = ways[best].sum(0), 1 - (1 - each) / len(ways)
        interval = beyond_chance_interval(left_out_recall(ways[best]), samples, of_way)
        # Samples that share a cell are told right or wrong together, so that counting them alone promises too much.
        above = max(0.0, strengths[name] - float(np.quantile(chance, each, method="higher")))
        intervals.append(interval._replace(low=min(interval.low, above)))
    corrected = holm(np.array(p_values))
    return [
        Correlation(name, which, interval, float(p), found[name], cells[1])
        for (name, cells), which, interval, p in zip(properties.items(), told, intervals, corrected, strict=True)
    ]


def correlation_score(images: Tensor, targets: Tensor) -> float:
    """One number for labelled images: how well the best of the computed properties tells the class (0 to 1).

    Args:
        images: N x C x H x W, in [0, 1].
        targets: N, the class of each.
    """
    classes = np.unique(targets.cpu().numpy(), return_inverse=True)[1]
    values = _all_properties(images)
    cells = (point_cells(points)[0] for points in values.values())
    return max(float(_strengths(cell_counts(cell, classes)).max()) for cell in cells)


def datalab_score(images: Tensor, targets: Tensor, *, seed: int = 0) -> float:
    """The same as Datalab computes it, but with the baseline put right: 1 minus its score of spurious correlation.

    Its predictor is a Gaussian naive Bayes on one property, cross-validated five-fold; what counts is the part of the
    way from always giving the most common class to always being right. (Datalab takes the index of the most common
    class for its count, so that noise looks telling where classes are unequal.)

    Args:
        images: N x C x H x W, in [0, 1].
        targets: N, the class of each; at least five of each.
        seed: Of the folds.

    References:
        cleanlab: Datalab's check for spurious correlations, 2023.
    """
    classes = targets.cpu().numpy()
    baseline = np.unique(classes, return_counts=True)[1].max() / len(classes)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    values = np.concatenate(list(_all_properties(images).values()), axis=1)
    values = values[:, np.ptp(values, axis=0) > 0]
    accuracy = [cross_val_score(GaussianNB(), column[:, None], classes, cv=folds).mean() for column in values.T]
    return float((max(accuracy) - baseline) / (1 - baseline))


def _ways(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The counts (... x C x K) of all classes, and where there are more than two, of each class against the others."""
    if counts.shape[-1] == 2:
        return [counts]
    rest = counts.sum(-1, keepdims=True) - counts
    return [counts, *(np.stack([counts[..., k], rest[..., k]], axis=-1) for k in range(counts.shape[-1]))]


def _strengths(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """How well the cells tell in each of these ways, ... x ways."""
    return np.stack([beyond_chance(left_out_recall(way)) for way in _ways(counts)], axis=-1)


def _all_properties(images: Tensor) -> dict[str, NDArray[np.float64]]:
    pictures = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    found: list[dict[str, Any]] = [image_properties(p if p.shape[2] == 3 else p[:, :, 0]) for p in pictures]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}
