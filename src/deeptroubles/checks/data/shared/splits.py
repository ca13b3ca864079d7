"""The parts of a data set (train, test, ...) that its column `split` names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.recording import Recording

COLUMN = "split"


@dataclass(frozen=True)
class Splits:
    """Which split each image is in.

    Attributes:
        names: The splits, in alphabetical order; none without a column of at least two different values.
        codes: N, the index of the split; -1 where the cell is empty, and everywhere without such a column.
        note: Why splits were not compared, '' where they are.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    note: str = ""


def splits_of(recording: Recording) -> Splits:
    """The splits of the images, from the column `split` of their table."""
    table = recording.subject.images.table
    nowhere = np.full(len(table), -1, dtype=np.int64)
    if COLUMN not in table:
        return Splits((), nowhere, f"Splits were not compared: there is no column `{COLUMN}`.")
    texts = [
        str(value).strip() if there else "" for value, there in zip(table[COLUMN], table[COLUMN].notna(), strict=True)
    ]
    names = sorted(set(texts) - {""})
    if len(names) < 2:
        have = f"only one value ({names[0]})" if names else "no values"
        return Splits((), nowhere, f"Splits were not compared: the column `{COLUMN}` has {have}.")
    place = {name: i for i, name in enumerate(names)} | {"": -1}
    return Splits(tuple(names), np.array([place[text] for text in texts], dtype=np.int64))
