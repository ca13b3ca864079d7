"""IDX files, the format of MNIST and its relatives: one file of images and, beside it, one of labels."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeptroubles.errors import ImagesError
from deeptroubles.images.image_set import ImageSet

# train-images-idx3-ubyte.gz, t10k-images.idx3-ubyte, emnist-letters-test-images-idx3-ubyte, ...
_NAME = re.compile(r"(?P<set>.*)(?P<what>images|labels)[.-]idx\d-ubyte(\.gz)?", re.IGNORECASE)
_UBYTE = 8


def is_idx(path: Path) -> bool:
    """Say whether a file is named like the images or the labels of an IDX pair."""
    return _NAME.fullmatch(path.name) is not None


def find_idx(folder: Path) -> dict[str, Path]:
    """Find the IDX image files of a folder, by the name of their set ("train", "t10k"). Unpacked files come first."""
    found: dict[str, Path] = {}
    for path in _unpacked_first(folder):
        match = _NAME.fullmatch(path.name)
        if match and match["what"].lower() == "images":
            found.setdefault(match["set"].strip("-_. "), path)
    return found


def load_idx_folder(folder: Path, sets: dict[str, Path]) -> ImageSet:
    """Load the only IDX set of a folder, or the only one that is for testing.

    Raises:
        ImagesError: It is not clear which set is meant, or the files are damaged.
    """
    if len(sets) == 1:
        return load_idx(next(iter(sets.values())))
    held_out = [name for name in sets if re.search("t10k|test", name, re.IGNORECASE)]
    if len(held_out) != 1:
        files = ", ".join(path.name for path in sets.values())
        raise ImagesError(f"{folder} holds several sets of IDX images; give one of the files: {files}.")
    images = load_idx(sets[held_out[0]])
    note = f"{folder.name} holds {' and '.join(sets)}; {held_out[0]} was used."
    return replace(images, notes=(*images.notes, note))


def load_idx(path: Path) -> ImageSet:
    """Load IDX images, with the labels that lie beside them under the matching name.

    Raises:
        ImagesError: A file is damaged or not IDX, or there are not as many labels as images.
    """
    match = _NAME.fullmatch(path.name)
    if match is None or match["what"].lower() == "labels":
        raise ImagesError(f"{path} holds labels; give the images file beside it.")
    images = read_idx(path)
    if images.ndim not in {3, 4}:
        raise ImagesError(f"{path} has {images.ndim} dimensions; images have 3 (N x H x W) or 4 (N x H x W x C).")
    labels_path = _labels_beside(path, match["set"])
    if labels_path is None:
        return replace(ImageSet.from_arrays(images, name=path.name), notes=(f"No labels lie beside {path.name}.",))
    labels = read_idx(labels_path)
    if labels.shape != images.shape[:1]:
        found = " x ".join(map(str, labels.shape))
        raise ImagesError(f"{labels_path} has {found} labels for {len(images)} images; they do not belong together.")
    return ImageSet.from_arrays(images, labels.tolist(), name=path.name)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, packed with gzip or not.

    Raises:
        ImagesError: It cannot be read, its header is not that of IDX, or its length is not what the header says.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ImagesError(f"{path} cannot be read ({str(error).splitlines()[0].rstrip('.')}).") from error
    if len(data) < 4 or data[:2] != b"\0\0" or not data[3]:
        raise ImagesError(f"{path} is not an IDX file: it does not begin with the two zero bytes of that format.")
    if data[2] != _UBYTE:
        raise ImagesError(f"{path} holds IDX data of type 0x{data[2]:02x}; only unsigned bytes (0x08) are read.")
    start = 4 + 4 * data[3]
    shape = tuple(np.frombuffer(data[4:start][: (len(data) - 4) // 4 * 4], dtype=">u4").tolist())
    if len(data) - start != math.prod(shape) or len(shape) != data[3]:
        size = " x ".join(map(str, shape))
        raise ImagesError(
            f"{path} is cut short or damaged: its header says {size} bytes of data, and there are "
            f"{max(0, len(data) - start)}."
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def _unpacked_first(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: (path.suffix.lower() == ".gz", path.name))


def _labels_beside(path: Path, name: str) -> Path | None:
    for candidate in _unpacked_first(path.parent):
        match = _NAME.fullmatch(candidate.name)
        if match and match["set"] == name and match["what"].lower() == "labels":
            return candidate
    return None
