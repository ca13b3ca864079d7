"""Compare the errors of two runs, or of a run and people: are they made on the same images?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.run.tables import read_table
from deeptroubles.statistics.error_consistency import ErrorConsistency, error_consistency

Observer = Path | str | pd.DataFrame
"""A run folder, or a table with the columns `path` and `correct`."""


def compare_errors(first: Observer, second: Observer, *, seed: int = 0) -> ErrorConsistency:
    """Measure how far two observers are right and wrong on the same images (error consistency).

    An observer is the folder of an audit, or a table, for instance of people's published decisions.

    Args:
        first: The folder of a run; or a table with the columns `path` (of the image, as in the run) and `correct`.
        second: The other observer, of the same images. Images that only one has seen, and those without a true class,
            are left out.
        seed: Seed of the resampling.

    Returns:
        Cohen's kappa with its interval over images, and the observed and expected agreement.

    Raises:
        RunFolderError: A folder holds no table of images.
        UsageError: A table lacks a column, or has an image twice.
        ImagesError: The observers have no labelled image in common.

    References:
        R. Geirhos, K. Meding, F. A. Wichmann: Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and humans
        by measuring error consistency, NeurIPS 2020.
    """
    tables = [_correct(observer) for observer in (first, second)]
    both = pd.concat(tables, axis=1, join="inner").dropna()
    if both.empty:
        raise ImagesError(
            "The two have no labelled image in common; compare runs on the same folder of images, or tables with the "
            "paths of a run."
        )
    right = both.astype(bool).to_numpy()
    return error_consistency(right[:, 0], right[:, 1], seed=seed)


def _correct(observer: Observer) -> pd.Series:
    """Whether the observer is right, by the path of the image."""
    table = observer if isinstance(observer, pd.DataFrame) else _images(Path(observer))
    missing = [name for name in ("path", "correct") if name not in table]
    if missing:
        raise UsageError(f"A table of predictions needs the columns path and correct; this one lacks {missing[0]}.")
    found = table.set_index(table["path"].astype(str))["correct"]
    if not found.index.is_unique:
        twice = found.index[found.index.duplicated()][0]
        raise UsageError(f"The image {twice} is in a table twice; give one row per image.")
    return found


def _images(folder: Path) -> pd.DataFrame:
    return read_table(folder / "tables" / "images.parquet", "give the folder of a complete audit")
