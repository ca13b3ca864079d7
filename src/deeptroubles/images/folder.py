"""A folder with one subfolder per class, or simply a folder of images."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deeptroubles.errors import ImagesError
from deeptroubles.images.decoding import is_image_file, is_image_name
from deeptroubles.images.image_set import ImageSet, image_table

_SPLIT = re.compile(
    r"(train|training|val|valid|validation|dev|devel|development|test|testing|eval|evaluation|held[-_ ]?out|fold|split)"
    r"([-_ ]?(set|data|images|imgs|split))?[-_ ]?[0-9]*",
    re.IGNORECASE,
)
"""Names of folders that hold a part of the images, such as train, dev, test_set and val2017."""


@dataclass(frozen=True)
class Files:
    """Fetches images that are files, by their paths from a common root (or their full paths)."""

    root: Path
    paths: Sequence[str]

    def __call__(self, index: int) -> Path:
        """Give the file of a row."""
        return self.root / self.paths[index]


def load_folder(root: Path) -> ImageSet:
    """List the images below a folder; the first folder on the way to an image is its label.

    A file is an image by its suffix; one without a suffix is an image if it begins like one. Hidden files are passed
    over; so are all others, which are counted by suffix in a note.

    Raises:
        ImagesError: There are none, or the folder holds splits (train, test, ...) and not classes.
    """
    files = sorted(_walk(root))
    paths = _images_among(root, files)
    if not paths:
        raise ImagesError(f"There are no images in {root}{_what_else(files)}; give a folder that holds some.")
    labels = [path.split("/")[0] if "/" in path else None for path in paths]
    found = sorted({label for label in labels if label is not None})
    chosen, columns = set(paths), {}
    notes = _passed_over([path for path in files if path not in chosen])
    if found and all(_SPLIT.fullmatch(label) for label in found):
        if any(path.count("/") > 1 for path in paths):
            one = root / found[-1]
            raise ImagesError(
                f"{root} holds splits ({', '.join(found)}), not classes; give one of them, such as {one}."
            )
        notes.append(
            f"The folders {', '.join(found)} were taken for splits, not for classes; the images have no label."
        )
        columns, labels = {"split": labels}, [None] * len(paths)
    elif found and None in labels:
        notes.append(f"{labels.count(None)} images lie beside the class folders and have no label.")
    return ImageSet(root.resolve().name, image_table(paths, labels, columns), Files(root, paths), notes=tuple(notes))


def image_paths(root: Path) -> list[str]:
    """The paths of the images below a folder, from it and with forward slashes, in order. Raises ImagesError."""
    return _images_among(root, sorted(_walk(root)))


def load_file(path: Path) -> ImageSet:
    """Make an image set of one image file."""
    return ImageSet(path.name, image_table([path.name]), Files(path.parent, [path.name]))


def _images_among(root: Path, files: Sequence[str]) -> list[str]:
    """Files with an image's suffix, and files without a suffix that begin like an image."""
    return [path for path in files if is_image_name(path) or (not suffix_of(path) and is_image_file(root / path))]


def _walk(root: Path) -> Iterator[str]:
    """Give the path of every file below a folder, from it and with forward slashes. Links are followed."""
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_cannot_list):
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and not _leads_back(here / name)]
        prefix = "" if here == root else f"{here.relative_to(root).as_posix()}/"
        yield from (prefix + name for name in names if not name.startswith("."))


def _leads_back(folder: Path) -> bool:
    """Say whether a folder is a link to one that it lies in: following it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _cannot_list(error: OSError) -> None:
    raise ImagesError(f"The folder {error.filename} cannot be listed ({error.strerror}).") from error


def suffix_of(path: str) -> str:
    """The suffix of a file in lower case; '' where what stands after the last dot is no kind of file, as in 1.2.840."""
    suffix = Path(path).suffix.lower()
    return suffix if re.fullmatch(r"\.\w*[a-z]\w*", suffix) else ""


def _passed_over(files: Sequence[str]) -> list[str]:
    """One note that counts files by suffix, the most frequent first; none where there are none."""
    counts = Counter(suffix_of(path) or "without a suffix" for path in files).most_common()
    said = ", ".join(f"{count} {kind}" for kind, count in counts)
    return [f"Files that are not images were left out: {said}."] if counts else []


def _what_else(files: Sequence[str]) -> str:
    """Count the kinds of file that are there instead."""
    counts = Counter(suffix_of(path) or "without a suffix" for path in files).most_common(5)
    return f" (but {', '.join(f'{count} {kind}' for kind, count in counts)})" if counts else ""
