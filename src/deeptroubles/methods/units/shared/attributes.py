"""Which attribute a unit detects: a label, or a value of any other column that came with the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.images.labels import label_text
from deeptroubles.statistics.auroc import Auroc, auroc
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

LABEL = "label"
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]
MIN_OCCURRENCES = 10
"""A attribute that fewer images than this carry, or lack, is too rare (or too common) to say anything of."""
MAX_CATEGORIES = 10
"""A column of no more different numbers than this is taken for categories."""
MAX_VALUES = 50
"""Of a column of text, so many values become attributes, the most frequent ones."""


@dataclass(frozen=True)
class Attributes:
    """What is known about each of R images, as W attributes that it carries or not.

    Attributes:
        names: W, e.g. `tabby`, `source_tag=yes`, `lat above 12.3`.
        columns: W, the column of the image table that the attribute comes from; `label` for classes.
        carried: R x W.
        known: R x W; False where the column is empty for the image.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    carried: NDArray[np.bool_]
    known: NDArray[np.bool_]

    @property
    def base_rate(self) -> NDArray[np.float64]:
        """The share of the images that carry the attribute, of those of which it is known. W."""
        share: NDArray[np.float64] = (self.carried & self.known).sum(0) / np.maximum(self.known.sum(0), 1)
        return share

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Which attributes are carried, and lacked, by enough images. W."""
        carried, lacked = (self.carried & self.known).sum(0), (~self.carried & self.known).sum(0)
        enough: NDArray[np.bool_] = np.minimum(carried, lacked) >= MIN_OCCURRENCES
        return enough

    @property
    def is_label(self) -> NDArray[np.bool_]:
        """Which attributes are classes. W."""
        return np.array([column == LABEL for column in self.columns], dtype=bool)


@dataclass(frozen=True)
class Detector:
    """A unit and a attribute.

    Attributes:
        unit: Index of the unit.
        attribute: Index of the attribute.
        overall: The share of pairs of images, one with the attribute and one without, in which the unit answers more
            strongly to the one with it.
        within: The same over pairs of images of the same class.
        purity: The share of the unit's strongest images that carry the attribute.
    """

    unit: int
    attribute: int
    overall: Interval
    within: Interval
    purity: float


@dataclass(frozen=True)
class AttributeTable:
    """How well each of U units detects each of W attributes.

    All intervals hold together, with the level that was asked for: it is shared out over all units and attributes that are
    looked at (Bonferroni), so that the best of ten thousand may be read like one that was chosen beforehand. Attributes that
    are too rare are not looked at, and cost the others nothing.

    Attributes:
        attributes: The attributes.
        overall: Over all pairs of images, with its ends U x W.
        within: Over pairs of images of the same class, with its ends U x W. A attribute that goes along with a class is
            detected, overall, by what detects the class; within classes it is not.
        purity: U x W, the share of the unit's strongest images that carry the attribute; NaN where it is known of none.
    """

    attributes: Attributes
    overall: Auroc
    overall_ends: Ends
    within: Auroc
    within_ends: Ends
    purity: NDArray[np.float64]

    @property
    def enough_within(self) -> NDArray[np.bool_]:
        """Which attributes are carried, and lacked, by enough images of classes in which both occur. W."""
        return _enough_within(self.within)

    def detector(self, unit: int, attribute: int) -> Detector:
        """All that is known of a unit and a attribute."""
        overall, within = (
            Interval(float(area.value[unit, attribute]), float(low[unit, attribute]), float(high[unit, attribute]))
            for area, (low, high) in ((self.overall, self.overall_ends), (self.within, self.within_ends))
        )
        return Detector(unit, attribute, overall, within, float(self.purity[unit, attribute]))

    def best_attributes(self, unit: int, count: int = 5) -> list[Detector]:
        """The attributes that a unit detects best, of those on enough images, surest first."""
        order = np.argsort(-np.where(self.attributes.enough, self.overall_ends[0][unit], -1), kind="stable")
        return [self.detector(unit, int(attribute)) for attribute in order[:count] if self.attributes.enough[attribute]]

    def best_unit(self, attribute: int, *, within: bool = False) -> Detector:
        """The unit that detects a attribute best: the one with the highest lower end."""
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
        attributes: What is known about these images.
        classes: R, the class of every image, -1 where it is not known; pairs within a class are made from these.
        top: Of how many of the strongest images the purity is taken.
        level: Of all intervals together, those overall and those within classes each.
    """
    overall = auroc(values, attributes.carried, attributes.known)
    within = auroc(values, attributes.carried, attributes.known & (classes >= 0)[:, None], classes)
    strongest = np.argsort(-values, axis=0, kind="stable")[:top]
    known = attributes.known[strongest].sum(0)
    carried = (attributes.carried & attributes.known)[strongest].sum(0)
    purity = np.where(known > 0, carried / np.maximum(known, 1), np.nan)
    return AttributeTable(
        attributes,
        overall,
        _ends(overall, attributes.enough, level),
        within,
        _ends(within, _enough_within(within), level),
        purity,
    )


def _ends(area: Auroc, enough: NDArray[np.bool_], level: float) -> Ends:
    """Ends that hold for all units and attributes together; [0, 1] where there are not enough images."""
    low, high = np.zeros_like(area.value), np.ones_like(area.value)
    if low[:, enough].size:
        low[:, enough], high[:, enough] = area.take(enough).interval(1 - (1 - level) / low[:, enough].size)
    return low, high


def attributes_of(subject: Subject, rows: Sequence[int] | NDArray[np.integer]) -> Attributes:
    """The attributes of some images: their classes, and the values of every other column of the image table but the path.

    A column of text, of booleans or of few different numbers gives one attribute for every value (of text, for the most
    frequent ones), e.g. `source_tag=yes`. Any other column of numbers is split at its median, e.g. `lat above 12.3`
    and `lat at most 12.3`. A column of text that never repeats says nothing and gives none.

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
    nothing = np.zeros((0, len(rows)), dtype=bool)
    return Attributes(
        tuple(attribute.name for attribute in found),
        tuple(attribute.column for attribute in found),
        np.array([attribute.carried for attribute in found] or nothing).T,
        np.array([attribute.known for attribute in found] or nothing).T,
    )


class _Attribute(NamedTuple):
    name: str
    column: str
    carried: NDArray[np.bool_]
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
    """The attributes of a column of numbers: above the median, and not."""
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
