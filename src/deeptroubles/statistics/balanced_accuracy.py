"""How well cells (values of one property) tell classes, however unequal the classes are in number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval, wilson


def cell_counts(cells: NDArray[np.integer], classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many samples of each class are in each cell.

    Args:
        cells: N, from 0 on.
        classes: N, or P x N for P assignments of classes, from 0 on.

    Returns:
        C x K, or P x C x K.
    """
    flat = np.atleast_2d(classes)
    rows, count, kinds = len(flat), int(cells.max()) + 1, int(classes.max()) + 1
    index = (np.arange(rows)[:, None] * count + cells) * kinds + flat
    table = np.bincount(index.ravel(), minlength=rows * count * kinds).reshape(rows, count, kinds)
    return table[0] if classes.ndim == 1 else table


def left_out_recall(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """The share of each class that is told right from the cell, by the other samples alone (see `left_out_right`).

    Args:
        counts: ... x C x K, how many samples of each class are in each cell; every class has at least two.

    Returns:
        ... x K. Their mean is the balanced accuracy; 1 / K is chance.
    """
    recall: NDArray[np.float64] = (left_out_right(counts) * counts).sum(-2) / counts.sum(-2)
    return recall


def left_out_right(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """How far a sample of a class is told right from its cell, by the other samples alone (leave one out).

    A sample is told to be of the class of which the largest share of the other samples is in its cell; where several
    classes tie, it counts as right in part. So a class that is rare is as likely to be told as one that is common,
    and cells with one sample tell nothing.

    Args:
        counts: ... x C x K, how many samples of each class are in each cell; every class has at least two.

    Returns:
        ... x C x K, in [0, 1].
    """
    total = counts.sum(-2, keepdims=True)
    others = counts / total
    own = np.maximum(counts - 1, 0) / (total - 1)
    right = np.empty(counts.shape)
    for k in range(counts.shape[-1]):
        rivals = np.delete(others, k, axis=-1)
        mine = own[..., k, None]
        ties = (rivals == mine).sum(-1)  # quotients are rounded right, so that equal shares are equal numbers
        right[..., k] = np.where((rivals > mine).any(-1), 0.0, 1 / (1 + ties))
    return right


def beyond_chance(recall: NDArray[Any]) -> NDArray[np.float64]:
    """How far a balanced accuracy is on the way from guessing (0) to always right (1); negative below guessing.

    Args:
        recall: ... x K, as `left_out_recall` gives it.
    """
    kinds = recall.shape[-1]
    return np.asarray((recall.mean(-1) - 1 / kinds) / (1 - 1 / kinds), dtype=np.float64)


def beyond_chance_interval(recall: NDArray[Any], samples: NDArray[np.integer], level: float = 0.95) -> Interval:
    """The same for one property, at least 0, with an interval over samples.

    The interval of a mean of shares that were counted on different samples is put together from Wilson's interval of
    each, by the square root of the sum of the squared distances to their ends.

    Args:
        recall: K.
        samples: K, how many samples each share rests on.
        level: Of the interval.

    References:
        R. G. Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine
        1998, method 10; G. Y. Zou, A. Donner, Statistics in Medicine 2008 (for other sums than differences).
    """
    kinds = len(recall)
    ends = [wilson(round(share * n), int(n), level) for share, n in zip(recall, samples, strict=True)]
    below = np.sqrt(sum((end.value - end.low) ** 2 for end in ends)) / kinds
    above = np.sqrt(sum((end.high - end.value) ** 2 for end in ends)) / kinds
    centre = float(np.mean(recall))
    low, value, high = (
        float(np.clip((x - 1 / kinds) / (1 - 1 / kinds), 0, 1)) for x in (centre - below, centre, centre + above)
    )
    return Interval(value, low, high)
