"""Data sets that say which group each image belongs to, in the layouts in which they were published.

CelebA, FairFace, UTKFace and Waterbirds. What is known of each image becomes a column of the table, so that it can be
a group (--group) or, where people use the set for it, the label (--label).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from deeptroubles.errors import ImagesError
from deeptroubles.images.decoding import is_image_name
from deeptroubles.images.folder import Files
from deeptroubles.images.image_set import ImageSet, image_table

_PARTS = ("train", "val", "test")
# age_gender_race_date, of which a few files lack the race
_UTK = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_((?P<race>[0-4])_)?\d{14,17}\.jpg(\.chip\.jpg)?", re.IGNORECASE)
_UTK_GENDER, _UTK_RACE = ("male", "female"), ("White", "Black", "Asian", "Indian", "Others")
_MOSTLY = 0.9
_CHOOSE = "name the column that is the label with --label"


def load_published(folder: Path) -> ImageSet | None:
    """Load a folder that has the layout of one of these sets; None where it has not.

    Raises:
        ImagesError: A file of the set is damaged, or one that belongs to it is missing.
    """
    for name, load in _LAYOUTS.items():
        if (folder / name).is_file():
            return load(folder)
    return _utkface(folder)


def _celeba(folder: Path) -> ImageSet:
    """`list_attr_celeba.txt`: a count, the names of the attributes, and a line of 1 and -1 per image."""
    path = folder / "list_attr_celeba.txt"
    table = _read(path, sep=r"\s+", skiprows=1)
    if not len(table) or not table.isin([1, -1]).all(axis=None):
        raise ImagesError(f"{path} is not the attribute list of CelebA: its values must be 1 and -1.")
    names = [str(name) for name in table.index]
    columns: dict[str, pd.Series] = {str(name): (table[name] > 0).astype(int) for name in table}
    splits = folder / "list_eval_partition.txt"
    if splits.is_file():
        parts = _read(splits, sep=r"\s+", header=None).iloc[:, 0]
        columns["split"] = parts.reindex(table.index).map(dict(enumerate(_PARTS)))
    inside = next((f for f in ("img_align_celeba", "img_celeba") if (folder / f).is_dir()), "")
    note = f"CelebA has {table.shape[1]} attributes and no label; {_CHOOSE}."
    return _held_out(folder, [f"{inside}/{name}".lstrip("/") for name in names], None, columns, "CelebA", note)


def _waterbirds(folder: Path) -> ImageSet | None:
    """`metadata.csv` with img_filename, y, split and place."""
    table = _read(folder / "metadata.csv", index_col=None)
    if not {"img_filename", "y", "split", "place"} <= set(table):
        return None
    birds, places = {0: "landbird", 1: "waterbird"}, {0: "land", 1: "water"}
    columns = {"place": table["place"].map(places), "split": table["split"].map(dict(enumerate(_PARTS)))}
    return _held_out(
        folder, list(table["img_filename"].astype(str)), list(table["y"].map(birds)), columns, "Waterbirds"
    )


def _fairface(folder: Path) -> ImageSet:
    """`fairface_label_val.csv` and `fairface_label_train.csv` with file, age, gender and race."""
    path = next(folder / name for name in _FAIRFACE if (folder / name).is_file())
    table = _read(path, index_col=None)
    if "file" not in table:
        raise ImagesError(f"{path} is not a label file of FairFace: it has no column 'file'.")
    columns = {str(name): table[name] for name in table if name != "file"}
    notes = [f"FairFace has age, gender and race and no label; {_CHOOSE}."]
    if all((folder / name).is_file() for name in _FAIRFACE):
        notes.append(f"{folder.name} holds train and val; val was used.")
    files = list(table["file"].astype(str))
    return ImageSet("FairFace", image_table(files, None, columns), Files(folder, files), notes=tuple(notes))


def _utkface(folder: Path) -> ImageSet | None:
    """Images whose names say age, gender and race; those that do not say one have no value of it."""
    files = sorted(path.name for path in folder.iterdir() if is_image_name(path.name))
    found = [_UTK.fullmatch(name) for name in files]
    if not files or sum(match is not None for match in found) < _MOSTLY * len(files):
        return None

    def column(name: str, words: Sequence[str] | None = None) -> pd.Series:
        said = [match[name] if match else None for match in found]
        if words is None:
            return pd.Series([None if text is None else int(text) for text in said], dtype="Int64")
        return pd.Series([None if text is None else words[int(text)] for text in said], dtype=object)

    columns = {"age": column("age"), "gender": column("gender", _UTK_GENDER), "race": column("race", _UTK_RACE)}
    notes = [f"UTKFace has age, gender and race in its file names and no label; {_CHOOSE}."]
    unclear = sum(match is None or match["race"] is None for match in found)
    if unclear:
        notes.append(f"{unclear} file name{'s say' if unclear > 1 else ' says'} less than age, gender and race.")
    return ImageSet("UTKFace", image_table(files, None, columns), Files(folder, files), notes=tuple(notes))


def _held_out(
    folder: Path, files: list[str], labels: list[str] | None, columns: dict[str, pd.Series], name: str, *notes: str
) -> ImageSet:
    """The test part of a set that says which images are of it; all images otherwise."""
    images = ImageSet(name, image_table(files, labels, columns), Files(folder, files), notes=notes)
    if "split" not in columns or not (images.table["split"] == "test").any():
        return images
    rows = (images.table["split"] == "test").to_numpy()
    test = images.subset(rows)
    left = len(images) - len(test)
    said = (f"The test part was used; {left} other images were left out.",) if left else ()
    return ImageSet(name, test.table, test.fetch, notes=(*notes, *said))


def _read(path: Path, *, sep: str = ",", index_col: int | None = 0, **how: int | None) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep=sep, index_col=index_col, **how)  # type: ignore[call-overload, no-any-return]
    except (OSError, ValueError) as error:
        raise ImagesError(f"{path} cannot be read ({str(error).strip().splitlines()[0].rstrip('.')}).") from error


_FAIRFACE = ("fairface_label_val.csv", "fairface_label_train.csv")
_LAYOUTS: dict[str, Callable[[Path], ImageSet | None]] = {
    "list_attr_celeba.txt": _celeba,
    "metadata.csv": _waterbirds,
    **dict.fromkeys(_FAIRFACE, _fairface),
}
