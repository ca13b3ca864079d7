"""Which attributes a unit detects: labels, or values of other columns of the image table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.images.labels import label_text
from deeptroubles.statistics.auroc import Auroc, auroc
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

LABEL = "label"
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]
MIN_OCCURRENCES = 10
"""An attribute is tested if it is present in at least this many images, and absent from as many."""
MAX_CATEGORIES = 10
"""A column with at most this many different numbers is categorical."""
MAX_VALUES = 50
"""Largest number of values of a text column that become attributes, the most frequent ones."""


@dataclass(frozen=True, repr=False)
class Attributes(Brief):
    """W attributes of R images.

    Attributes:
        names: W, e.g. `tabby`, `source_tag=yes`, `lat above 12.3`.
        columns: W, the column of the image table of each attribute; `label` for classes.
        present: R x W, whether the image has the attribute.
        known: R x W; False where the column is empty for the image.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    present: NDArray[np.bool_]
    known: NDArray[np.bool_]

    @property
    def base_rate(self) -> NDArray[np.float64]:
        """The share of images with the attribute, among those for which it is known. W."""
        share: NDArray[np.float64] = (self.present & self.known).sum(0) / np.maximum(self.known.sum(0), 1)
        return share

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Which attributes are present in, and absent from, enough images. W."""
        present, absent = (self.present & self.known).sum(0), (~self.present & self.known).sum(0)
        enough: NDArray[np.bool_] = np.minimum(present, absent) >= MIN_OCCURRENCES
        return enough

    @property
    def is_label(self) -> NDArray[np.bool_]:
        """Which attributes are classes. W."""
        return np.array([column == LABEL for column in self.columns], dtype=bool)


@dataclass(frozen=True)
class Detector:
    """How well a unit detects an attribute.

    Attributes:
        unit: Index of the unit.
        attribute: Index of the attribute.
        overall: The share of pairs of images, one with the attribute and one without, in which the unit is more active
            on the one with it.
        within: The same over pairs of images of the same class.
        purity: The share of the unit's strongest images that have the attribute.
    """

    unit: int
    attribute: int
    overall: Interval
    within: Interval
    purity: float


@dataclass(frozen=True, repr=False)
class AttributeTable(Brief):
    """How well each of U units detects each of W attributes.

    All intervals hold simultaneously at the requested level (Bonferroni over all units and tested attributes), so the
    best of many can be read like one chosen in advance. Attributes that are too rare are not tested.

    Attributes:
        attributes: The attributes.
        overall: AUROC over all pairs of images, with interval ends U x W.
        within: AUROC over pairs of images of the same class, with interval ends U x W. A unit that detects a class
            detects an attribute that is correlated with it overall, but not within classes.
        purity: U x W, the share of the unit's strongest images that have the attribute; NaN where it is known for none.
    """

    attributes: Attributes
    overall: Auroc
    overall_ends: Ends
    within: Auroc
    within_ends: Ends
    purity: NDArray[np.float64]

    @property
    def enough_within(self) -> NDArray[np.bool_]:
        """Which attributes are present in, and absent from, enough images of classes in which both occur. W."""
        return _enough_within(self.within)

    def detector(self, unit: int, attribute: int) -> Detector:
        """How well a unit detects an attribute."""
        overall, within = (
            Interval(float(area.value[unit, attribute]), float(low[unit, attribute]), float(high[unit, attribute]))
            for area, (low, high) in ((self.overall, self.overall_ends), (self.within, self.within_ends))
        )
        return Detector(unit, attribute, overall, within, float(self.purity[unit, attribute]))

    def best_attributes(self, unit: int, count: int = 5) -> list[Detector]:
        """The attributes that a unit detects best, among the tested ones, ordered by the lower interval end."""
        order = np.argsort(-np.where(self.attributes.enough, self.overall_ends[0][unit], -1), kind="stable")
        return [self.detector(unit, int(attribute)) for attribute in order[:count] if self.attributes.enough[attribute]]

    def best_unit(self, attribute: int, *, within: bool = False) -> Detector:
        """The unit that detects an attribute best: the one with the highest lower interval end."""
        low = (self.within_ends if within else self.overall_ends)[0]
        return self.detector(int(low[:, attribute].argmax()), attribute)


def attribute_table(
    values: NDArray[np.floating],
    attributes: Attributes,
    classes: NDArray[np.integer],
    *,
    top: int = 9,
    level: float = 0.95,
) -> AttributeTable:
    """How well each unit detects each attribute.

    Args:
        values: R x U, the activation of every unit on R images, finite.
        attributes: The attributes of these images.
        classes: R, the class of every image, -1 where it is unknown.
        top: Number of the strongest images over which the purity is computed.
        level: Simultaneous level of all overall intervals, and of all intervals within classes.
    """
    overall = auroc(values, attributes.present, attributes.known)
    within = auroc(values, attributes.present, attributes.known & (classes >= 0)[:, None], classes)
    strongest = np.argsort(-values, axis=0, kind="stable")[:top]
    known = attributes.known[strongest].sum(0)
    present = (attributes.present & attributes.known)[strongest].sum(0)
    purity = np.where(known > 0, present / np.maximum(known, 1), np.nan)
    return AttributeTable(
        attributes,
        overall,
        _ends(overall, attributes.enough, level),
        within,
        _ends(within, _enough_within(within), level),
        purity,
    )


def _ends(area: Auroc, enough: NDArray[np.bool_], level: float) -> Ends:
    """Interval ends that hold for all units and attributes simultaneously; [0, 1] for too few images."""
    low, high = np.zeros_like(area.value), np.ones_like(area.value)
    if low[:, enough].size:
        low[:, enough], high[:, enough] = area.take(enough).interval(1 - (1 - level) / low[:, enough].size)
    return low, high


def attributes_of(subject: Subject, rows: Sequence[int] | NDArray[np.integer]) -> Attributes:
    """The attributes of images: their classes, and the values of all other columns of the image table except the path.

    A column of text, booleans or few different numbers gives one attribute per value (for text, the most frequent
    ones), e.g. `source_tag=yes`. Any other column of numbers is split at its median, e.g. `lat above 12.3` and `lat at
    most 12.3`. A column of text whose values are all different gives none.

    Args:
        subject: The classifier and the images.
        rows: Positions of the images, R.
    """
    rows = np.asarray(rows, dtype=np.int64)
    names, targets = subject.classifier.class_names, subject.targets[rows]
    labelled = targets >= 0
    found = [_Attribute(names[target], LABEL, targets == target, labelled) for target in np.unique(targets[labelled])]
    for column, values in subject.images.table.iloc[rows].items():
        if column not in {"path", LABEL}:
            found += _column_attributes(str(column), values)
    none = np.zeros((0, len(rows)), dtype=bool)
    return Attributes(
        tuple(attribute.name for attribute in found),
        tuple(attribute.column for attribute in found),
        np.array([attribute.present for attribute in found] or none).T,
        np.array([attribute.known for attribute in found] or none).T,
    )


class _Attribute(NamedTuple):
    name: str
    column: str
    present: NDArray[np.bool_]
    known: NDArray[np.bool_]


def _column_attributes(column: str, values: pd.Series[Any]) -> list[_Attribute]:
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if is_number and values.nunique() > MAX_CATEGORIES:
        return _halves(column, values.to_numpy(dtype=np.float64, na_value=np.nan))
    if not all(pd.api.types.is_scalar(value) for value in values):
        return []
    texts = values.map(label_text)
    counts = texts.value_counts()
    if not is_number and (counts <= 1).all():
        return []
    known = texts.notna().to_numpy(dtype=bool)
    frequent = counts.sort_index().sort_values(ascending=False, kind="stable").index[:MAX_VALUES]
    return [
        _Attribute(f"{column}={text}", column, (texts == text).to_numpy(dtype=bool), known) for text in sorted(frequent)
    ]


def _halves(column: str, numbers: NDArray[np.float64]) -> list[_Attribute]:
    """The attributes of a column of numbers: above the median, and at most the median."""
    median = float(np.nanmedian(numbers))
    above, below = numbers > median, numbers <= median  # both False where there is no number
    known = above | below
    return [
        _Attribute(f"{column} above {median:.4g}", column, above, known),
        _Attribute(f"{column} at most {median:.4g}", column, below, known),
    ]


def _enough_within(within: Auroc) -> NDArray[np.bool_]:
    enough: NDArray[np.bool_] = np.minimum(within.present, within.absent) >= MIN_OCCURRENCES
    return enough
