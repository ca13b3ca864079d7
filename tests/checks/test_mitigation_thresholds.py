from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet
from tests.networks import formula
from tests.test_mitigation import COUNT, NAMES, classifier, images

OPTIONS = {"group": "site", "positive": "light"}


def planted():
    """The same score for every image: no thresholds make accuracy equal where 50% and 90% of the images are light."""
    blind = formula(lambda x: torch.stack([0 * x.sum((1, 2, 3)), 0 * x.sum((1, 2, 3)) + 2], 1), 8, 1, NAMES)
    random = np.random.default_rng(0)
    site = random.integers(2, size=COUNT)
    label = (random.random(COUNT) < np.array([0.5, 0.9])[site]).astype(int)
    pictures = random.integers(0, 255, (COUNT, 8, 8), dtype=np.uint8)
    columns = {"site": np.array(["south", "north"])[site]}
    return blind, ImageSet.from_arrays(pictures, np.array(NAMES)[label].tolist(), columns), OPTIONS


def clean():
    """The scores separate the classes in both sites."""
    return classifier(), images(), OPTIONS
