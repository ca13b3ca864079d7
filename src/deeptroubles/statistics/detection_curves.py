"""How well a score detects a class: the ROC curve and the precision-recall curve, with the areas under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from deeptroubles.statistics.auroc import auroc
from deeptroubles.statistics.intervals import Interval, mean_share

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DetectionCurves:
    """A score and a class, at every threshold.

    Attributes:
        false_positive_rate: P, from 0 to 1.
        true_positive_rate: P, likewise.
        recall: Q, from 0 to 1.
        precision: Q; at each recall of the positives, the precision of all that score at least as high.
        roc_area: The area under the ROC curve: the share of pairs in which the positive has the higher score.
        average_precision: The mean over positives of the precision at their score.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    recall: Floats
    precision: Floats
    roc_area: Interval
    average_precision: Interval


def detection_curves(scores: Floats, positive: NDArray[np.bool_]) -> DetectionCurves | None:
    """The ROC and precision-recall curves of a score.

    The interval of the ROC area is Newcombe's score interval (see `auroc`), that of the average precision Wilson's with
    as many trials as positives (the binomial interval of Boyd et al., but with a width at 0 and 1).

    Args:
        scores: N, higher for the class.
        positive: N, whether it is of the class.

    Returns:
        None if all or none are of the class.

    References:
        K. Boyd, K. Eng, C. Page: Area under the precision-recall curve: point estimates and confidence intervals, ECML
        2013.
    """
    if positive.all() or not positive.any():
        return None
    false, true, _ = roc_curve(positive, scores)
    precision, recall, cuts = precision_recall_curve(positive, scores)
    area = auroc(scores[:, None], positive[:, None])
    low, high = area.interval()
    # Cuts ascend; each positive counts with the precision of the cut at its own score.
    own = precision[np.searchsorted(cuts, scores[positive])]
    return DetectionCurves(
        false,
        true,
        recall[::-1],
        precision[::-1],
        Interval(float(area.value[0, 0]), float(low[0, 0]), float(high[0, 0])),
        mean_share(own),
    )
