"""Leakage of group membership: linear probes, and its amplification in predictions compared with labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from deeptroubles.statistics.balanced_accuracy import (
    beyond_chance,
    beyond_chance_interval,
    cell_counts,
    left_out_recall,
    left_out_right,
)
from deeptroubles.statistics.intervals import Interval, mean_difference

Floats = NDArray[np.float64]

FOLDS = 5
MAX_FEATURES = 64
"""Features are reduced to at most this many principal components."""
_RIDGE = 1e-2
"""Added to the variance of every component, in units of their mean variance."""


@dataclass(frozen=True)
class Leak:
    """How well the group can be predicted.

    Attributes:
        recall: G, the share of each group's images whose group is predicted correctly.
        strength: Balanced accuracy rescaled from chance (0) to perfect (1); its lower end is at most its difference
            from `control`.
        control: The 95th percentile for shuffled groups, on the same scale.
        p: How often shuffled groups reach the same value.
    """

    recall: Floats
    strength: Interval
    control: float
    p: float


def probe(features: Floats, groups: NDArray[np.integer], *, shuffles: int = 199, seed: int = 0) -> Leak:
    """How well a linear probe predicts the group of held-out images.

    The probe is a linear discriminant with equal priors and a shared covariance, so rare groups
    count as much as common ones; its balanced accuracy is cross-validated. The control fits the same probe to shuffled
    groups.

    Args:
        features: N x D, finite.
        groups: N, from 0 to G - 1, G at least 2; every group has FOLDS images or more.
        shuffles: How often the control is fitted.
        seed: Seed of folds and shuffles.

    References:
        J. Hewitt, P. Liang: Designing and interpreting probes with control tasks, EMNLP 2019; R. A. Fisher 1936.
    """
    random = np.random.default_rng(seed)
    every = np.concatenate([groups[None], random.permuted(np.broadcast_to(groups, (shuffles, len(groups))), axis=1)])
    predicted = np.empty_like(every)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, groups)
    for fitted, held_out in folds:
        predicted[:, held_out] = _discriminant(
            features[fitted], every[:, fitted], features[held_out], int(groups.max()) + 1
        )
    recall = np.stack(
        [((predicted == g) & (every == g)).sum(1) / (groups == g).sum() for g in range(groups.max() + 1)], 1
    )
    return _leak(recall[0], recall[1:], np.bincount(groups))


def label_leak(labels: NDArray[np.integer], groups: NDArray[np.integer], *, shuffles: int = 199, seed: int = 0) -> Leak:
    """How well a label alone predicts the group, from the other images with the same label.

    Args:
        labels: N, from 0 on.
        groups: N, from 0 to G - 1; at least two images each.
        shuffles: How often the control is counted.
        seed: Seed of the shuffles.
    """
    random = np.random.default_rng(seed)
    dealt = random.permuted(np.broadcast_to(groups, (shuffles, len(groups))), axis=1)
    recall = left_out_recall(cell_counts(labels, groups))
    return _leak(recall, left_out_recall(cell_counts(labels, dealt)), np.bincount(groups))


def amplification(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer],
    *,
    draws: int = 100,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, float]:
    """How much more a classifier's predictions reveal about the group than labels of the same accuracy.

    Labels are degraded to the classifier's accuracy: as many as its mistakes are replaced by a random other class, many
    times. The group is predicted from the prediction and from the degraded label, each from the other images
    (leave-one-out), and the two are compared image by image.

    Args:
        predicted: N, the classifier's predictions, from 0 on.
        labels: N, the true classes.
        groups: N, from 0 to G - 1; at least two images each.
        draws: How often labels are degraded.
        level: Level of the interval.
        seed: Seed of the degradation.

    Returns:
        The amplification, rescaled from chance (0) to perfect (1), with its interval over images; and the leakage of
        degraded labels on the same scale (the dataset leakage at that accuracy).

    References:
        T. Wang et al.: Balanced datasets are not enough: Estimating and mitigating gender bias in deep image
        representations, ICCV 2019, section 3.
    """
    random = np.random.default_rng(seed)
    present = np.unique(labels)
    wrong, mean = int((predicted != labels).sum()), np.zeros(len(labels))
    for _ in range(draws):
        degraded = labels.copy()
        rows = random.permutation(len(labels))[:wrong]
        if len(present) > 1:
            step = random.integers(1, len(present), wrong)
            degraded[rows] = present[(np.searchsorted(present, labels[rows]) + step) % len(present)]
        mean += _correct(degraded, groups) / draws
    more = _correct(predicted, groups) - mean
    kinds = int(groups.max()) + 1
    parts = [mean_difference(more[groups == g], level) for g in range(kinds)]
    center = float(np.mean([part.value for part in parts]))
    below = float(np.sqrt(sum((part.value - part.low) ** 2 for part in parts))) / kinds
    above = float(np.sqrt(sum((part.high - part.value) ** 2 for part in parts))) / kinds
    scale = 1 - 1 / kinds
    degraded_score = float(beyond_chance(np.array([mean[groups == g].mean() for g in range(kinds)])))
    return Interval(center / scale, (center - below) / scale, (center + above) / scale), degraded_score


def _correct(labels: NDArray[np.integer], groups: NDArray[np.integer]) -> Floats:
    """How far each image's label predicts its group. N."""
    return np.asarray(left_out_right(cell_counts(labels, groups))[labels, groups])


def _leak(recall: Floats, by_chance: Floats, sizes: NDArray[np.integer]) -> Leak:
    chance, value = beyond_chance(by_chance), float(beyond_chance(recall))
    interval = beyond_chance_interval(recall, sizes)
    control = float(np.quantile(chance, 0.95, method="higher"))
    low = min(interval.low, max(0.0, value - control))
    p = (1 + (chance >= value - 1e-12).sum()) / (1 + len(chance))
    return Leak(recall, interval._replace(low=low), max(0.0, control), float(p))


def _discriminant(fitted: Floats, groups: NDArray[np.integer], held_out: Floats, kinds: int) -> NDArray[np.int64]:
    """The predicted group of each held-out image, for P assignments of groups at once. P x N'.

    The covariance is that of all images: for two groups it gives the same line as the covariance within groups, and it
    is inverted once for all assignments.
    """
    center = fitted.mean(0)
    left, scale, directions = np.linalg.svd(fitted - center, full_matrices=False)
    kept = scale > 1e-9 * max(1e-300, scale[0])
    kept[MAX_FEATURES:] = False
    variance = scale[kept] ** 2 / len(fitted)
    # White components, in which the discriminant is the nearest mean.
    whiten = 1 / np.sqrt(variance + _RIDGE * (variance.mean() if kept.any() else 1.0))
    inside, outside = left[:, kept] * scale[kept] * whiten, (held_out - center) @ directions[kept].T * whiten
    belongs = (groups[:, :, None] == np.arange(kinds)).astype(np.float64)
    count = np.maximum(belongs.sum(1), 1)
    means = np.einsum("pnk,nd->pkd", belongs, inside, optimize=True) / count[:, :, None]
    scores = np.einsum("nd,pkd->pnk", outside, means, optimize=True) - 0.5 * (means**2).sum(2)[:, None]
    return np.asarray(scores.argmax(2), dtype=np.int64)
