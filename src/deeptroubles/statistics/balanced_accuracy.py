"""How well cells (values of one property) predict classes of unequal size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.intervals import Interval, wilson


def cell_counts(cells: NDArray[np.integer], classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """The number of samples of each class in each cell.

    Args:
        cells: N, from 0.
        classes: N, or P x N for P assignments of classes, from 0.

    Returns:
        C x K, or P x C x K.
    """
    flat = np.atleast_2d(classes)
    rows, count, kinds = len(flat), int(cells.max()) + 1, int(classes.max()) + 1
    index = (np.arange(rows)[:, None] * count + cells) * kinds + flat
    table = np.bincount(index.ravel(), minlength=rows * count * kinds).reshape(rows, count, kinds)
    return table[0] if classes.ndim == 1 else table


def left_out_recall(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """The share of each class that `left_out_right` predicts correctly, ... x K; their mean at chance is 1 / K."""
    recall: NDArray[np.float64] = (left_out_right(counts) * counts).sum(-2) / counts.sum(-2)
    return recall


def left_out_right(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Whether a sample of a class is predicted correctly from its cell by the other samples (leave one out).

    The predicted class is the one with the largest share of its other samples in the cell; ties count in part. So rare
    classes are as likely to be predicted as common ones, and cells with one sample have no influence.

    Args:
        counts: ... x C x K, the number of samples of each class in each cell; every class has at least two.

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
        ties = (rivals == mine).sum(-1)  # quotients are correctly rounded, so equal shares are equal numbers
        right[..., k] = np.where((rivals > mine).any(-1), 0.0, 1 / (1 + ties))
    return right


def beyond_chance(recall: NDArray[Any]) -> NDArray[np.float64]:
    """Rescale the balanced accuracy of a recall (... x K) so that chance is 0 and perfect prediction 1."""
    kinds = recall.shape[-1]
    return np.asarray((recall.mean(-1) - 1 / kinds) / (1 - 1 / kinds), dtype=np.float64)


def beyond_chance_interval(recall: NDArray[Any], samples: NDArray[np.integer], level: float = 0.95) -> Interval:
    """As `beyond_chance` for one property, clipped at 0, with an interval over samples.

    The interval of the mean of shares on different samples combines Wilson's intervals by the square root of the sum of
    the squared distances to their ends.

    Args:
        recall: K.
        samples: K, the number of samples of each share.
        level: Level of the interval.

    References:
        R. G. Newcombe: Interval estimation for the difference between independent proportions, Statistics in Medicine
        1998, method 10; G. Y. Zou, A. Donner, Statistics in Medicine 2008 (for other sums than differences).
    """
    kinds = len(recall)
    ends = [wilson(round(share * n), int(n), level) for share, n in zip(recall, samples, strict=True)]
    below = np.sqrt(sum((end.value - end.low) ** 2 for end in ends)) / kinds
    above = np.sqrt(sum((end.high - end.value) ** 2 for end in ends)) / kinds
    center = float(np.mean(recall))
    low, value, high = (
        float(np.clip((x - 1 / kinds) / (1 - 1 / kinds), 0, 1)) for x in (center - below, center, center + above)
    )
    return Interval(value, low, high)
