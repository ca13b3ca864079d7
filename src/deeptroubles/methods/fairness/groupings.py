"""The group of each image, from one column of the images' table or from several together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.errors import UsageError, nearest
from deeptroubles.images import ImageSet
from deeptroubles.images.image_set import same_column
from deeptroubles.methods.properties.cells import Cells, column_cells

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
        UsageError: The images have no such column, it is named twice, or it is to be cut and does not hold numbers.
    """
    known = [str(name) for name in images.table.columns if name not in _OWN]
    asked = [_column_and_edges(column, known) for column in columns]
    for column, _ in asked:
        if column not in known:
            there = f"they have {', '.join(known)}" if known else "they have none other than path and label"
            raise UsageError(
                f"The images have no column {column!r} to group them by ({there}); name one of the manifest."
                f"{nearest(column, known)}"
            )
        if [other for other, _ in asked].count(column) > 1:
            raise UsageError(f"The column {column!r} is named twice; name each column once.")
    for column, edges in asked:
        if edges and not pd.api.types.is_numeric_dtype(images.table[column]):
            raise UsageError(f"The column {column!r} cannot be cut at {edges[0]:g}, because it does not hold numbers.")


def one_column(table: pd.DataFrame, column: str) -> Grouping:
    """The groups of one column: its values, or ranges of them if there are many different numbers.

    Texts that differ in case or spaces alone are one value, called by its most frequent spelling. `age:18,65` cuts the
    numbers of the column `age` at 18 and 65.
    """
    column, edges = _column_and_edges(column, [str(name) for name in table.columns])
    values = table[column].reset_index(drop=True)
    there = values.notna().to_numpy() & (values.astype(str).str.strip() != "").to_numpy()
    codes = np.full(len(values), -1, dtype=np.int64)
    names: tuple[str, ...] = ()
    if there.any():
        given = _folded(values[there].reset_index(drop=True).infer_objects())
        codes[there], names = _bands(given, edges) if edges else column_cells(given)
        if pd.api.types.is_numeric_dtype(given):  # a bare number or Boolean needs the name of its column
            names = tuple(f"{column} {name}" for name in names)
    return Grouping(column, codes, names)


def _column_and_edges(text: str, known: Sequence[str]) -> tuple[str, tuple[float, ...]]:
    """A column in any case, and the numbers at which `COLUMN:NUMBER,NUMBER` cuts it, ascending."""
    column, _, numbers = same_column(text, known).rpartition(":")
    if same_column(text, known) in known or not column:
        return same_column(text, known), ()
    try:
        edges = tuple(sorted({float(number) for number in numbers.split(",")}))
    except ValueError:
        return text, ()
    return same_column(column, known), edges


def _bands(values: pd.Series[Any], edges: Sequence[float]) -> Cells:
    """Numbers cut at edges, each of which belongs to the band above it. Bands without a number are left out."""
    bounds = [f"{edge:g}" for edge in edges]
    names = (f"below {bounds[0]}", *(f"{a} to below {b}" for a, b in pairwise(bounds)), f"{bounds[-1]} and more")
    cells = np.searchsorted(np.asarray(edges), values.to_numpy(dtype=np.float64), side="right")
    found, codes = np.unique(cells, return_inverse=True)
    return codes.astype(np.int64), tuple(names[cell] for cell in found)


def _folded(values: pd.Series[Any]) -> pd.Series[Any]:
    """Texts that differ in case or spaces alone, in the most frequent spelling of each; other values as they are."""
    if not all(isinstance(value, str) for value in values):
        return values
    plain = values.map(lambda text: " ".join(text.split()))
    keys = plain.str.casefold()
    spelling = {key: Counter(sorted(plain[keys == key])).most_common(1)[0][0] for key in keys.unique()}
    return keys.map(spelling)


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
