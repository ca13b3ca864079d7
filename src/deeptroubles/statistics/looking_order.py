"""In which order to look at images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def looking_order(classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random order in which every prefix has about as many images of each class as its share.

    Args:
        classes: The class of each image, N; those without one (-1) are a class, too.
        seed: Decides the order.

    Returns:
        A permutation of 0 to N - 1. In the first n, the number of images of a class with share p differs from n p by
        less than the number of classes, and by less than 1 where there are two.
    """
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    groups = pd.Series(classes[shuffled]).groupby(classes[shuffled])
    turns = (groups.cumcount() + 0.5) / groups.transform("size")
    order: NDArray[np.int64] = shuffled[np.argsort(turns.to_numpy(), kind="stable")]
    return order
