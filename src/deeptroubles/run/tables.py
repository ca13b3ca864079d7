"""Read a table of a run folder, whatever became of its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from deeptroubles.errors import RunFolderError


def read_table(file: Path, hint: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file.

    Args:
        file: The file.
        hint: What to do where it cannot be read.
        columns: The columns to read. Default: all.

    Raises:
        RunFolderError: There is no such file, it lacks a column, or it is damaged.
    """
    try:
        table = pd.read_parquet(file)
    except FileNotFoundError as error:
        raise RunFolderError(f"There is no {file}; {hint}.") from error
    except (OSError, ValueError, LookupError, TypeError, NotImplementedError, pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise RunFolderError(f"{file} cannot be read ({reason}); {hint}.") from error
    missing = [name for name in columns or () if name not in table]
    if missing:
        raise RunFolderError(f"{file} has no column {missing[0]}; {hint}.")
    return table if columns is None else table[list(columns)]
