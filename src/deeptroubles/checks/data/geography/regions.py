"""Accuracy by region, income group and country, and the largest gap of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.geography.countries import countries
from deeptroubles.recording import Recording
from deeptroubles.statistics.group_gap import ShareGap, largest_gap
from deeptroubles.statistics.intervals import Interval, wilson

LEVEL = 0.95
MIN_GROUP_TO_PASS = 100
"""Groups with fewer labelled images can fail the classifier, but are too small to rule a gap out."""
KINDS = {"region": "regions", "income": "income groups", "country": "countries"}
_COLUMNS = {"region": "region", "income": "income", "country": "name"}


@dataclass(frozen=True, kw_only=True)
class RegionResult:
    """The labelled images of a region, an income group or a country, and how many are classified correctly."""

    name: str
    images: int
    correct: int

    @property
    def accuracy(self) -> Interval:
        """The accuracy of this group alone."""
        return wilson(self.correct, self.images)

    @property
    def large(self) -> bool:
        """Whether it has enough images to be judged."""
        return self.images >= MIN_GROUP


def regions_of(recording: Recording, index: NDArray[np.int64]) -> dict[str, tuple[RegionResult, ...]]:
    """The labelled images by region, income group and country, the largest first; `index` is each image's country."""
    table = countries()
    rows = recording.labelled[index[recording.labelled] >= 0]
    correct = recording.predicted[rows] == recording.targets[rows]
    found = {}
    for kind, column in _COLUMNS.items():
        names = table[column].to_numpy(dtype=str)[index[rows]]
        regions = [
            RegionResult(name=str(name), images=int((names == name).sum()), correct=int(correct[names == name].sum()))
            for name in np.unique(names)
            if name
        ]
        found[kind] = tuple(sorted(regions, key=lambda region: -region.images))
    return found


def accuracy_gap(regions: Sequence[RegionResult]) -> ShareGap | None:
    """The largest accuracy gap; its upper end is that of the larger groups, where there are two of them."""
    judged = [region for region in regions if region.large]
    largest = [region for region in regions if region.images >= MIN_GROUP_TO_PASS]
    if len(judged) < 2:
        return None
    gap = _gap_between(judged)
    if len(largest) < 2:
        return gap
    return gap._replace(size=gap.size._replace(high=max(gap.size.value, _gap_between(largest).size.high)))


def _gap_between(regions: Sequence[RegionResult]) -> ShareGap:
    correct, images = (np.array([getattr(region, name) for region in regions]) for name in ("correct", "images"))
    return largest_gap(correct, images, 1 - (1 - LEVEL) / len(KINDS))
