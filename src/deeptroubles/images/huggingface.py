"""A Hugging Face dataset, by name or as a folder that `save_to_disk` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deeptroubles.errors import ImagesError
from deeptroubles.images.image_set import ImageSet, image_table

_PREFERRED_SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class Rows:
    """Fetches the images of a dataset's column."""

    rows: Any
    column: str

    def __call__(self, index: int) -> bytes | Path:
        """Give the encoded image of a row, or its file."""
        image = self.rows[index][self.column] or {"bytes": b"", "path": None}  # decoding says that it is empty
        return Path(image["path"]) if image["bytes"] is None else image["bytes"]


def is_saved_dataset(folder: Path) -> bool:
    """Say whether `datasets` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


def load_saved_dataset(folder: Path) -> ImageSet:
    """Load what `save_to_disk` wrote.

    Raises:
        ImagesError: `datasets` is not installed, or the folder cannot be loaded or holds no images.
    """
    datasets = _import_datasets()
    return _image_set(_try(datasets.load_from_disk, str(folder)), folder.resolve().name)


def load_hub_dataset(name: str, split: str | None) -> ImageSet:
    """Load a dataset by name, downloading it where it is not in the cache.

    Raises:
        ImagesError: `datasets` is not installed, or the dataset cannot be loaded or holds no images.
    """
    datasets = _import_datasets()
    return _image_set(_try(datasets.load_dataset, name, split=split), f"{name}:{split}" if split else name)


def _import_datasets() -> Any:
    try:
        import datasets  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ImagesError(
            'Hugging Face datasets need the package datasets; install it with pip install "deeptroubles[huggingface]".'
        ) from error
    return datasets


def _try(load: Any, name: str, **options: Any) -> Any:
    try:
        return load(name, **options)
    except Exception as error:  # the hub, the network, the cache and the dataset's own script can all fail
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ImagesError(
            f"The Hugging Face dataset {name} cannot be loaded ({reason}); check the name and the network."
        ) from error


def _image_set(loaded: Any, name: str) -> ImageSet:
    """Make an image set of a dataset, or of one split of several."""
    datasets = _import_datasets()
    notes = []
    if isinstance(loaded, dict):
        split = next((split for split in _PREFERRED_SPLITS if split in loaded), next(iter(loaded)))
        if len(loaded) > 1:
            notes.append(f"{name} has the splits {', '.join(loaded)}; {split} was used.")
        loaded = loaded[split]
    images = _columns(loaded, datasets.Image)
    classes = _columns(loaded, datasets.ClassLabel)
    if not images:
        columns = ", ".join(loaded.features)
        raise ImagesError(f"The Hugging Face dataset {name} has no column of images (it has: {columns}).")
    label = "label" if "label" in loaded.features else next(iter(classes), None)
    if len(images) > 1 or len(classes) > 1:
        notes.append(f"Of several columns, {images[0]} was used for the images and {label} for the labels.")
    table = _table(loaded, label, datasets)
    rows = loaded.select_columns(images[:1]).cast_column(images[0], datasets.Image(decode=False))
    return ImageSet(name, table, Rows(rows, images[0]), notes=tuple(notes))


def _table(loaded: Any, label: str | None, datasets: Any) -> pd.DataFrame:
    """Build the table of the columns that hold plain values or classes."""
    plain = {column: _values(loaded, column) for column in _columns(loaded, (datasets.Value, datasets.ClassLabel))}
    labels = plain.pop(label, None) if label else None
    further = {column: values for column, values in plain.items() if column not in {"path", "label"}}
    return image_table([f"image {index}" for index in range(len(loaded))], labels, further)


def _columns(loaded: Any, kind: Any) -> list[str]:
    return [column for column, feature in loaded.features.items() if isinstance(feature, kind)]


def _values(loaded: Any, column: str) -> list[Any]:
    """Read a column; classes become their names, and -1 (how datasets hide the labels of a test) None."""
    values = list(loaded.select_columns([column]).with_format(None)[column])
    names = getattr(loaded.features[column], "names", None)
    return values if names is None else [None if value is None or value < 0 else names[value] for value in values]
