"""The group of each image, from one column of the images' table or from several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.errors import UsageError, nearest
from deeptroubles.images import ImageSet
from deeptroubles.methods.properties.cells import column_cells

MAX_TOGETHER = 3
"""The most columns that are crossed."""
_OWN = ("path", "label", "mask", "cue_mask")


@dataclass(frozen=True, repr=False)
class Grouping(Brief):
    """The group of each image.

    Attributes:
        name: The column, or the columns with a × between them.
        codes: N, an index into `names`; -1 where a value is missing.
        names: The names of the groups.
    """

    name: str
    codes: NDArray[np.int64]
    names: tuple[str, ...]

    def take(self, rows: NDArray[np.integer]) -> Grouping:
        """The grouping of some of the images; groups keep their index."""
        return Grouping(self.name, self.codes[rows], self.names)

    def sizes(self) -> NDArray[np.int64]:
        """How many images each group has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


def fit_groups(columns: Sequence[str], images: ImageSet) -> None:
    """Check before an audit that columns can be used as groups.

    Raises:
        UsageError: The images have no such column, or it is named twice.
    """
    known = [str(name) for name in images.table.columns if name not in _OWN]
    for column in columns:
        if column not in known:
            there = f"they have {', '.join(known)}" if known else "they have none other than path and label"
            raise UsageError(
                f"The images have no column {column!r} to group them by ({there}); name one of the manifest."
                f"{nearest(column, known)}"
            )
        if list(columns).count(column) > 1:
            raise UsageError(f"The column {column!r} is named twice; name each column once.")


def one_column(table: pd.DataFrame, column: str) -> Grouping:
    """The groups of one column: its values, or ranges of them if there are many different numbers."""
    values = table[column].reset_index(drop=True)
    there = values.notna().to_numpy() & (values.astype(str).str.strip() != "").to_numpy()
    codes = np.full(len(values), -1, dtype=np.int64)
    names: tuple[str, ...] = ()
    if there.any():
        given = values[there].reset_index(drop=True).infer_objects()
        codes[there], names = column_cells(given)
        if pd.api.types.is_numeric_dtype(given):  # a bare number or Boolean needs the name of its column
            names = tuple(f"{column} {name}" for name in names)
    return Grouping(column, codes, names)


def crossed(first: Grouping, second: Grouping) -> Grouping:
    """The groups of two groupings together; only those that occur are named."""
    known = (first.codes >= 0) & (second.codes >= 0)
    pairs = np.where(known, first.codes * max(1, len(second.names)) + second.codes, -1)
    found = np.unique(pairs[known])
    names = tuple(f"{first.names[p // len(second.names)]} × {second.names[p % len(second.names)]}" for p in found)
    codes = np.where(known, np.searchsorted(found, pairs), -1).astype(np.int64)
    return Grouping(f"{first.name} × {second.name}", codes, names)


def groupings(table: pd.DataFrame, columns: Sequence[str]) -> list[Grouping]:
    """By every column, and by all intersections of up to MAX_TOGETHER columns."""
    single = [one_column(table, column) for column in columns]
    found = list(single)
    for many in range(2, min(len(single), MAX_TOGETHER) + 1):
        for chosen in combinations(single, many):
            together = chosen[0]
            for other in chosen[1:]:
                together = crossed(together, other)
            found.append(together)
    return found
