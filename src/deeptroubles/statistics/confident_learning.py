"""Confident learning: labels that a classifier's probabilities contradict, and their number by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def confident_labels(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The class that contradicts the label of each image; -1 where there is none.

    An image is confidently of class j if its probability of j reaches the mean over images labelled j (equation 2). Of
    several such classes the most likely one counts (equation 1: the confident joint). It contradicts the label if it is
    another class, and the label is not the most likely class of all.

    Args:
        probabilities: N x K, ideally for images that were not used in training.
        labels: N, from 0 to K - 1.

    Returns:
        N, from -1 to K - 1.

    References:
        C. Northcutt, L. Jiang, I. Chuang: Confident learning: estimating uncertainty in dataset labels, JAIR 2021.
    """
    count, kinds = probabilities.shape
    own = probabilities[np.arange(count), labels]
    having = np.bincount(labels, minlength=kinds)
    mean = np.bincount(labels, weights=own, minlength=kinds) / np.maximum(having, 1)
    reached = np.where(probabilities >= np.where(having > 0, mean, np.inf), probabilities, -1.0)
    likeliest = reached.argmax(1)
    contradicted = (reached.max(1) >= 0) & (likeliest != labels) & (probabilities.argmax(1) != labels)
    return np.where(contradicted, likeliest, -1)


def contradicted_by_chance(probabilities: NDArray[np.floating], *, seed: int, times: int = 99) -> NDArray[np.int64]:
    """The number of contradicted labels when labels are drawn from the classifier's probabilities.

    This is the number of errors that the classifier itself expects. Additional contradictions are due to mislabelled
    images, or to an overconfident classifier.

    Args:
        probabilities: N x K.
        seed: Seed of the draws.
        times: Number of draws of all labels.

    Returns:
        One count per draw.
    """
    random = np.random.default_rng(seed)
    edges = np.cumsum(probabilities, axis=1)
    edges /= edges[:, -1:]
    counts = []
    for _ in range(times):
        drawn = (random.random((len(edges), 1)) > edges).sum(1)
        counts.append((confident_labels(probabilities, drawn) >= 0).sum())
    return np.array(counts, dtype=np.int64)
