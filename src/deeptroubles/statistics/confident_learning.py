"""Labels that a classifier's probabilities contradict, and how many of them chance alone would bring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def confident_labels(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The class that an image more likely belongs to than to the one it is labelled with; -1 where there is none.

    An image is confidently of class j where its probability of j reaches what images labelled j have on average
    (equation 2); of several such classes, the likeliest counts (equation 1: the confident joint). A label is
    contradicted where that class is another one, and the likeliest class of all is not the label.

    Args:
        probabilities: N x K; best of images that the classifier has not learned from.
        labels: N, from 0 to K - 1.

    Returns:
        N.

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
    """How many labels are contradicted where labels are drawn from the classifier's own probabilities.

    These are the mistakes that the classifier itself expects to make. What is contradicted beyond them is owed to the
    labels, or to a classifier that is surer than it should be.

    Args:
        probabilities: N x K.
        seed: Of the labels that are drawn.
        times: How often all labels are drawn.

    Returns:
        One count for each time.
    """
    random = np.random.default_rng(seed)
    edges = np.cumsum(probabilities, axis=1)
    edges /= edges[:, -1:]
    counts = []
    for _ in range(times):
        drawn = (random.random((len(edges), 1)) > edges).sum(1)
        counts.append((confident_labels(probabilities, drawn) >= 0).sum())
    return np.array(counts, dtype=np.int64)
