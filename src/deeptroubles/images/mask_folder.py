"""Object masks in a folder that mirrors the images: the same path, with any suffix of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images.decoding import Stored, decode
from deeptroubles.images.folder import image_paths, suffix_of
from deeptroubles.images.image_set import ImageSet

_LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif"}
"""Compression changes zeros here, so that only shades above half count."""


@dataclass(frozen=True)
class _MaskFiles:
    """Fetches masks that are files, as 0 and 255; None where an image has none."""

    root: Path
    paths: Sequence[str | None]

    def __call__(self, index: int) -> Stored | None:
        path = self.paths[index]
        if path is None:
            return None
        file = self.root / path
        try:
            shades = np.asarray(decode(file, path).convert("L"))
        except UnreadableImageError:
            return file  # decoding it again raises the error with its reason
        return np.where(shades > (127 if file.suffix.lower() in _LOSSY else 0), 255, 0).astype(np.uint8)


def with_mask_folder(images: ImageSet, folder: str | Path) -> ImageSet:
    """The same images, with the object masks in a folder; they take the place of masks that the images had.

    The mask of `cat/1.jpg` is `cat/1.png` in that folder, or any other image of that name. It has the size of its
    image; the object is where it is not 0 (in a JPEG, brighter than half). Images without a file have no mask.

    Raises:
        ImagesError: There is no such folder, no image has a mask in it, or an image has several.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ImagesError(f"There is no folder {root} with masks; give one that mirrors the images.")
    found = _by_stem(root)
    wanted = [_stem(str(path)) for path in images.table["path"]]
    paths = [found.get(stem) for stem in wanted]
    matched = sum(path is not None for path in paths)
    if not matched:
        raise ImagesError(
            f"None of the images has a mask in {root}; the mask of {images.table['path'].iloc[0]} would be "
            f"{wanted[0]}.png (or another kind of image) in that folder."
        )
    missing = len(paths) - matched
    notes = (f"{missing} of {len(paths)} images have no mask in {root.name}.",) if missing else ()
    return replace(images, fetch_mask=_MaskFiles(root, paths), notes=(*images.notes, *notes))


def _by_stem(root: Path) -> dict[str, str]:
    """The images below a folder by their paths without suffix. Raises ImagesError where two share one."""
    found: dict[str, str] = {}
    for path in image_paths(root):
        other = found.setdefault(_stem(path), path)
        if other != path:
            raise ImagesError(f"{root} holds two masks of one image, {other} and {path}; remove one.")
    return found


def _stem(path: str) -> str:
    """A path without the suffix of its file."""
    return path[: len(path) - len(suffix_of(path))]
