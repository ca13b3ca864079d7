"""Any measure by any groups, using fairlearn's MetricFrame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import ArrayLike, NDArray

from deeptroubles.display import Brief
from deeptroubles.errors import UsageError

MIN_GROUP = 30
"""A group with fewer images is too small to be judged."""

Metric = Callable[[NDArray[Any], NDArray[Any]], float]


@dataclass(frozen=True, repr=False)
class ByGroup(Brief):
    """Measures by group.

    Attributes:
        table: One row per group, with its `images` and each measure; NaN for groups with fewer than `min_group` images.
        overall: Each measure on all images.
        lowest: Each measure's lowest value over the groups that are large enough.
        gap: Highest minus lowest.
        ratio: Lowest over highest.
    """

    table: pd.DataFrame
    overall: pd.Series[Any]
    lowest: pd.Series[Any]
    gap: pd.Series[Any]
    ratio: pd.Series[Any]


def by_group(
    metrics: Mapping[str, Metric],
    truth: ArrayLike,
    predictions: ArrayLike,
    columns: Mapping[str, ArrayLike] | pd.DataFrame,
    *,
    min_group: int = MIN_GROUP,
) -> ByGroup:
    """Any measure by one column, or by the intersection of several.

    Args:
        metrics: Functions of truth and predictions by name, such as those of `sklearn.metrics` and `fairlearn.metrics`.
        truth: N (or N x ..., whatever the measures take).
        predictions: N x ..., likewise.
        columns: The groups: N values by name; rows with a missing value are left out.
        min_group: Groups with fewer images are listed and not measured.

    Raises:
        UsageError: The lengths differ, or no group is large enough.

    References:
        S. Bird et al.: Fairlearn: A toolkit for assessing and improving fairness in AI, 2020 (`MetricFrame`).
    """
    truth, predictions, groups = np.asarray(truth), np.asarray(predictions), pd.DataFrame(dict(columns))
    if not len(truth) == len(predictions) == len(groups):
        raise UsageError(
            f"There are {len(truth)} true values, {len(predictions)} predictions and {len(groups)} groups; "
            "give one each."
        )
    known = groups.notna().all(axis=1).to_numpy()
    groups = groups[known].astype(str)
    truth, predictions = truth[known], predictions[known]
    grouped = groups.groupby(list(groups.columns), sort=True)
    sizes, kept = grouped.size(), grouped[groups.columns[0]].transform("size").to_numpy() >= min_group
    if not kept.any():
        raise UsageError(f"No group has {min_group} images or more; give more images, or lower min_group.")
    frame = _frame(metrics, truth[kept], predictions[kept], groups[kept].reset_index(drop=True))
    table = pd.concat([sizes.rename("images"), frame.by_group.reindex(sizes.index)], axis=1)
    return ByGroup(table, frame.overall, frame.group_min(), frame.difference(), frame.ratio())


def _frame(metrics: Mapping[str, Metric], truth: NDArray[Any], predictions: NDArray[Any], groups: pd.DataFrame) -> Any:
    """A frame over row numbers, so that truth and predictions can have any shape."""
    rows = np.arange(len(truth))

    def on_rows(metric: Metric) -> Metric:
        return lambda chosen, _: metric(truth[chosen], predictions[chosen])

    return MetricFrame(
        metrics={name: on_rows(metric) for name, metric in metrics.items()},
        y_true=rows,
        y_pred=rows,
        sensitive_features=groups,
    )
