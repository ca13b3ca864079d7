from __future__ import annotations

import numpy as np

from deeptroubles import ImageSet
from tests.test_mitigation import COUNT, NAMES, classifier, images

OPTIONS = {"group": "site"}


def planted():
    """Images from the south do not show their class, so no last layer can be as accurate there as in the north."""
    random = np.random.default_rng(0)
    label, site = random.integers(2, size=COUNT), random.integers(2, size=COUNT)
    visible = np.where(site == 1, label, random.integers(2, size=COUNT))
    pictures = random.integers(0, 60, (COUNT, 8, 8), dtype=np.uint8)
    pictures[:, :, :4] += (130 * visible).astype(np.uint8)[:, None, None]
    columns = {"site": np.array(["south", "north"])[site]}
    return classifier(), ImageSet.from_arrays(pictures, np.array(NAMES)[label].tolist(), columns), OPTIONS


def clean():
    """The class is in the features, and the last layer relies on the site: a new one need not."""
    return classifier(), images(), OPTIONS
