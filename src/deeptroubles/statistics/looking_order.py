"""The order in which images are looked at: random, with every class in turn."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray


def looking_order(targets: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """A random order of images in which classes take turns in proportion to their size.

    Every image is equally likely at every position. Any beginning has nearly as many images of each class as its share
    says: at most 1.7 off in 300 sets tried, and never 4. Means over a beginning vary less than those of a plain random
    order, so intervals for independent values are conservative (by simulation, in the tests).

    The two smallest classes are merged until one is left. A merge spreads one class evenly among the other, from a
    random offset. That costs at most 1 image at every merge, times the share of the class in what it was merged into,
    and every two merges at least double the size. Schedules within 1 image of each share exist (Steiner and Yeomans
    1993), but they bring classes of the same size in bursts: with 75 classes of 4 images that are right and 200
    classes of 1 image that are wrong, 95% intervals missed the truth in 58 of 100 runs.

    Args:
        targets: N, the class of each image. Images without a label, -1, are a class.
        seed: The same seed gives the same order.

    Returns:
        N, a permutation of 0 to N - 1.

    References:
        G. Steiner, S. Yeomans: Level schedules for mixed-model, just-in-time processes, Management Science 1993; W. G.
        Madow, L. H. Madow: On the theory of systematic sampling, Annals of Mathematical Statistics 1944.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(targets))
    grouped = shuffled[np.argsort(targets[shuffled], kind="stable")]
    parts = np.split(grouped, np.flatnonzero(np.diff(targets[grouped])) + 1)
    waiting = [(len(part), random.random(), part) for part in parts]
    heapify(waiting)
    while len(waiting) > 1:
        merged = _merged(heappop(waiting)[-1], heappop(waiting)[-1], random)
        heappush(waiting, (len(merged), random.random(), merged))
    return waiting[0][-1]


def _merged(first: NDArray[np.int64], second: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Both in their own order, the first spread evenly: every position is its with a chance of its share."""
    total = len(first) + len(second)
    turn = np.diff((len(first) * np.arange(total + 1) + random.integers(total)) // total).astype(bool)
    merged = np.empty(total, dtype=np.int64)
    merged[turn], merged[~turn] = first, second
    return merged
