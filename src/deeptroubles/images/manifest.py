"""A table (CSV or Parquet) that lists images with their labels and whatever else is known about each."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa

from deeptroubles.errors import ImagesError, nearest
from deeptroubles.images.folder import Files
from deeptroubles.images.image_set import ImageSet, image_table
from deeptroubles.images.labels import label_text

_MASKS = ("mask", "cue_mask")
"""Columns that hold the files of masks: of the object, and of a cue that should not matter."""
_OWN = ("path", "label", *_MASKS)
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class _MaskFiles:
    """Fetches masks that are files; None where a row has none."""

    root: Path
    paths: Sequence[str | None]

    def __call__(self, index: int) -> Path | None:
        path = self.paths[index]
        return None if path is None else self.root / path


def is_manifest(path: Path) -> bool:
    """Say whether a file is named like a manifest."""
    return path.suffix.lower() in {".csv", ".tsv", ".parquet"}


def load_manifest(manifest: Path, path_column: str | None = None) -> ImageSet:
    """Read a manifest. Its column `path` is relative to the manifest's folder; `label` and others are optional.

    The names of these columns may be written in any case. In a text, columns are separated by commas, semicolons, tabs
    or bars: by what divides the first line into the most.

    `mask` (of the object) and `cue_mask` (of what should not matter) are paths too: pictures of the image's size,
    bright where it is. Cells may be empty.

    Whether the files exist is not checked here: an audit lists those that do not as unreadable.

    Args:
        manifest: The file.
        path_column: The column that holds the paths. Default: `path`.

    Raises:
        ImagesError: It cannot be read, has no column `path`, has no rows, or lists an image twice.
    """
    root = manifest.parent
    table = _read(manifest, path_column)
    table.columns = pd.Index(_own_names([str(name).strip() for name in table.columns], path_column))
    if "path" not in table:
        found, wanted = ", ".join(table.columns), path_column or "path"
        raise ImagesError(
            f"The manifest {manifest} has no column {wanted!r} (it has: {found}); name the one with the files with "
            f"--path-column (path_column=...).{nearest(wanted, table.columns)}"
        )
    if table.empty:
        raise ImagesError(f"The manifest {manifest} lists no images.")
    paths = [_path_text(path, root) for path in table["path"]]
    _check_paths(manifest, paths)
    columns = {str(name): table[name] for name in table if name not in {"path", "label"}}
    masks: dict[str, _MaskFiles] = {}
    for name in (name for name in _MASKS if name in columns):
        given = [_path_text(path, root) or None for path in table[name]]
        columns[name], masks[name] = pd.Series(given, dtype=object), _MaskFiles(root, given)
    labels = _labels(table["label"]) if "label" in table else None
    return ImageSet(
        manifest.name,
        image_table(paths, labels, columns),
        Files(root, paths),
        fetch_mask=masks.get("mask"),
        fetch_cue_mask=masks.get("cue_mask"),
    )


def _read(manifest: Path, path_column: str | None) -> pd.DataFrame:
    try:
        if manifest.suffix.lower() == ".parquet":
            return pd.read_parquet(manifest)
        # Only empty cells and NaN are missing: "NA" is Namibia and "None" may be a class. `index_col` is for lines
        # that end in a comma, whose first column pandas would take for row names.
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            delimiter, names = _header(file.readline())
        as_text = [name for name in names if _key(name) in _OWN]
        return pd.read_csv(
            manifest,
            sep=delimiter,
            dtype=dict.fromkeys([*as_text, *([path_column] if path_column in names else [])], str),
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=["", "nan", "NaN"],
            index_col=False,
        )
    except UnicodeDecodeError as error:
        raise ImagesError(f"The manifest {manifest} is not UTF-8 text; save it as UTF-8.") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ImagesError(f"The manifest {manifest} cannot be read ({reason}).") from error


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter that the first line of a table has most often outside of quotes, and the names of the columns."""
    plain = re.sub(r'"[^"]*"', "", line)
    delimiter = max(_DELIMITERS, key=plain.count)
    return delimiter, next(csv.reader([line], delimiter=delimiter), [])


def _own_names(names: list[str], path_column: str | None) -> list[str]:
    """The columns, with ours written in our way where a name differs in case alone, and the column of paths as `path`.

    A column that is called `path` and is not the one with the paths is called `given_path`.
    """
    chosen = path_column if path_column in names else None
    if chosen is None and path_column is not None:
        chosen = next((name for name in names if _key(name) == _key(path_column)), None)
    if path_column is not None:
        names = ["path" if name == chosen else "given_path" if _key(name) == "path" else name for name in names]
    ours = {name: _key(name) for name in names if _key(name) in _OWN and _key(name) not in names}
    single = {name for name, own in ours.items() if list(ours.values()).count(own) == 1}
    return [ours[name] if name in single else name for name in names]


def _key(name: str) -> str:
    return name.strip().casefold()


def _path_text(path: Any, root: Path) -> str:
    """Write a path with forward slashes, and from the manifest's folder where it lies below it."""
    if pd.isna(path):
        return ""
    text = str(path).strip().replace("\\", "/")
    below = PurePosixPath(text).is_relative_to(root.as_posix()) and PurePosixPath(text).is_absolute()
    return PurePosixPath(text).relative_to(root.as_posix()).as_posix() if below else text


def _check_paths(manifest: Path, paths: list[str]) -> None:
    """Every row must name an image, and no image may have two rows: rows are what is counted."""
    first: dict[str, int] = {}
    for row, path in enumerate(paths, start=1):
        if not path:
            raise ImagesError(f"Row {row} of the manifest {manifest} has no path.")
        if "\0" in path:
            raise ImagesError(f"Row {row} of the manifest {manifest} has a zero byte in its path; the file is damaged.")
        if path in first:
            raise ImagesError(
                f"The manifest {manifest} lists {path} in row {first[path]} and in row {row}; give one row per image."
            )
        first[path] = row


def _labels(column: pd.Series[Any]) -> list[str | None]:
    """Write labels as text; whole numbers that a missing value turned into 3.0 become "3" again."""
    labels = [label_text(label) for label in column]
    if all(label is None or re.fullmatch(r"\d+\.0", label) for label in labels):
        return [label and label.removesuffix(".0") for label in labels]
    return labels
