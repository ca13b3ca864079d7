"""Images with their labels and whatever else is known about each, decoded one at a time when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from deeptroubles.errors import ImagesError, UnreadableImageError, UsageError, nearest
from deeptroubles.images.common_range import CommonRange
from deeptroubles.images.conversions import Conversion, describe_conversions
from deeptroubles.images.decoding import Scaling, Stored, decode, decode_and_tell, eight_bit
from deeptroubles.images.depth import Extent, ValueRange, common_range
from deeptroubles.images.labels import label_text, readable
from deeptroubles.images.patience import do_each

Fetch = Callable[[int], Stored]
"""Gives the image of a row as it is stored. All that a source of images has to provide, besides the table."""

_BLOCK = 1024
"""Images whose hashes are held at once."""
READERS = 8
"""Images that are read at once when no pixels are needed: reading waits more than it computes."""

T = TypeVar("T")
FetchMask = Callable[[int], Stored | None]
"""Gives the mask of a row as it is stored: a picture of the image's size, bright where the object is. None: no mask."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images to audit a classifier on. Nothing is decoded before it is asked for.

    Attributes:
        name: What to call the set in reports.
        table: One row per image, with the index 0 to n - 1. `path` is a unique name to show to people, `label` a
            string or None, and any further columns are as they were given (group, mask, lat, lon, ...).
        fetch: Gives the image of a row as it is stored.
        credits: Where the images are from and under which licence, where known.
        notes: What a reader should know about how the set was loaded.
        fetch_mask: Gives the mask of the object in the image of a row, where there are masks.
        fetch_cue_mask: Likewise for what should not matter: a cue that is marked in the images.
        common_range: Which values are black and white in images with more than 8 bits. Default: found in all images of
            this set when it is first needed. Parts of the set keep it.
    """

    name: str
    table: pd.DataFrame
    fetch: Fetch
    credits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fetch_mask: FetchMask | None = None
    fetch_cue_mask: FetchMask | None = None
    common_range: CommonRange | None = None

    def __post_init__(self) -> None:
        if self.common_range is None:
            object.__setattr__(self, "common_range", CommonRange(self.fetch, len(self.table)))

    @classmethod
    def from_arrays(
        cls,
        arrays: NDArray[Any] | Sequence[ArrayLike | Image.Image | Path | str],
        labels: Sequence[Any] | None = None,
        columns: Mapping[str, Sequence[Any] | pd.Series[Any]] | None = None,
        name: str = "arrays",
        masks: Sequence[ArrayLike | None] | NDArray[Any] | None = None,
        cue_masks: Sequence[ArrayLike | None] | NDArray[Any] | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> ImageSet:
        """Make an image set of arrays. 8-bit arrays are not copied.

        Args:
            arrays: N x H x W (gray) or N x H x W x 3 (RGB), or a list of such images of any sizes: uint8, floats in
                [0, 1], or other whole numbers; pictures of Pillow and paths of files may be among them.
            labels: One label per image (None where there is none).
            columns: Further columns of the table, by name.
            name: What to call the set in reports.
            masks: Where the object is in each image: H x W, booleans, floats in [0, 1] or uint8 (None: not known).
            cue_masks: Likewise, where a cue is that should not matter (see `deeptroubles help reliance.cue`).
            value_range: The values that are black and white, for arrays that are not uint8. Default: 0 and 1 for
                floats; for whole numbers 0 and the largest of 8, 10, 12, 14 or 16 bits, or the smallest and largest of
                all images where some are negative.

        Raises:
            ImagesError: There are no images, the shape, type or range does not fit, or the lengths differ.
        """
        given = [_array(image, index) for index, image in enumerate(arrays)]
        common = _common_range(given) if value_range is None else ValueRange(*value_range)
        pixels = [_pixels(array, index, common=common) for index, array in enumerate(given)]
        deep = sum(array.dtype != np.uint8 for array in given)
        note = (f"{deep} of {len(given)} images had more than 8 bits: {common}.",) if common and deep else ()
        table = image_table([f"image {index}" for index in range(len(pixels))], labels, columns)
        objects, cues = (_fetch_shades(shades, len(pixels)) for shades in (masks, cue_masks))
        return cls(name, table, pixels.__getitem__, notes=note, fetch_mask=objects, fetch_cue_mask=cues)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"ImageSet({self.name!r}, {len(self)} images)"

    def __getitem__(self, index: int) -> Image.Image:
        """Decode one image: 8-bit, the right way up, of mode L (gray) or RGB.

        Raises:
            UnreadableImageError: It cannot be decoded.
            IndexError: There is no such row.
        """
        return self.convert(index)[0]

    def convert(self, index: int) -> tuple[Image.Image, Conversion]:
        """Decode one image as `images[index]` does, and tell what was done to it."""
        return self.reduced(index)[:2]

    def reduced(self, index: int, scaling: Scaling | None = None) -> tuple[Image.Image, Conversion, int]:
        """Decode one image that will be scaled next; a large JPEG is then decoded at a reduced size.

        Args:
            index: The row.
            scaling: The width and height to which a picture of a given width and height will be scaled.

        Returns:
            The picture, what was done to it, and by what its sides were divided (1, 2, 4 or 8).
        """
        path, common = str(self.table["path"].iloc[index]), self._range
        given = common.given is not None
        return decode_and_tell(self.fetch(int(index)), path, lambda: common.found, given=given, scaling=scaling)

    def describe_conversions(self, done: NDArray[np.bool_], scales: NDArray[np.float64]) -> str:
        """One note about what was done to N images (N x the fields of `Conversion`) and by how much each was scaled."""
        common = self._range
        return describe_conversions(
            [Conversion(*row) for row in done.tolist()],
            scales,
            common.given or common.found,
            given=common.given is not None,
        )

    def in_range(self, given: ValueRange) -> ImageSet:
        """The same images, with these values as black and white where they have more than 8 bits."""
        return replace(self, common_range=CommonRange(self.fetch, len(self), given))

    @property
    def _range(self) -> CommonRange:
        assert self.common_range is not None  # noqa: S101 (set when the object is made)
        return self.common_range

    def mask(self, index: int, *, cue: bool = False) -> Image.Image | None:
        """The object (or the marked cue) in one image: 8 bits, of the image's size, bright where it is.

        None where it is not known. A mask of zeros and ones is as good as one of 0 and 255.

        Raises:
            UnreadableImageError: It cannot be decoded, or is not of the image's size.
        """
        fetch = self.fetch_cue_mask if cue else self.fetch_mask
        stored = fetch(int(index)) if fetch else None
        if stored is None:
            return None
        name = f"{'cue mask' if cue else 'mask'} of {self.table['path'].iloc[index]}"
        mask, size = decode(stored, name).convert("L"), self[index].size
        if mask.size != size:
            seen, wanted = ("{} x {}".format(*pair) for pair in (mask.size, size))
            raise UnreadableImageError(name, f"it has {seen} pixels and the image {wanted}")
        return mask.point(_ONE_IS_WHITE) if mask.getextrema()[1] == 1 else mask

    @property
    def labels(self) -> list[str | None]:
        """The labels, as they were given."""
        return list(self.table["label"])

    def subset(self, indices: Sequence[int] | NDArray[Any]) -> ImageSet:
        """Keep some rows, in the given order. Takes positions, or one boolean per image."""
        rows = np.asarray(self.table.index[np.asarray(indices, dtype=None if len(indices) else np.int64)])
        table = self.table.iloc[rows].reset_index(drop=True)
        masks, cues = (partial(_picked, f, rows) if f else None for f in (self.fetch_mask, self.fetch_cue_mask))
        fetch = partial(_picked, self.fetch, rows)
        return ImageSet(self.name, table, fetch, self.credits, self.notes, masks, cues, self.common_range)

    def labelled_by(self, column: str) -> ImageSet:
        """The same images with a column of their table as the label.

        Raises:
            UsageError: There is no such column.
        """
        known = [str(name) for name in self.table.columns if name != "path"]
        column = same_column(column, known)
        if column not in known:
            raise UsageError(
                f"The images have no column {column!r} to be the label (they have {', '.join(known)})."
                f"{nearest(column, known)}"
            )
        labels = pd.Series([label_text(value) for value in self.table[column]], dtype=object)
        return replace(self, table=self.table.assign(label=labels))

    def fingerprint(self) -> str:
        """Hash what decides the findings: every image as it is stored, and its row of the table except the path.

        Files are read (once), but not decoded. A set that is moved or renamed keeps its fingerprint.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        facts = self.table.drop(columns="path")
        if self._range.found:
            digest.update(repr(self._range.found).encode())
        digest.update(repr(list(facts.columns)).encode())
        rows = facts.itertuples(index=False, name=None)
        for start in range(0, len(self), _BLOCK):
            block = range(start, min(start + _BLOCK, len(self)))
            for content in do_each(self._contents, block, lambda _: _UNREADABLE, threads=READERS):
                digest.update(content)
                digest.update("\0".join([*map(str, next(rows)), "\n"]).encode())
        return digest.hexdigest()

    def _contents(self, index: int) -> bytes:
        """Hashes of an image as it is stored, and of its masks."""
        found = _stored_hash(self.fetch, index) or b""
        for kind, fetch in ((b"mask", self.fetch_mask), (b"cue mask", self.fetch_cue_mask)):
            if fetch and (content := _stored_hash(fetch, index)):
                found += kind + content
        return found


def same_column(name: str, known: Sequence[str]) -> str:
    """The one of the known columns that has this name, or else the only one that has it in another case."""
    alike = [column for column in known if column.strip().casefold() == name.strip().casefold()]
    return name if name in known or len(alike) != 1 else alike[0]


def image_table(
    paths: Sequence[str],
    labels: Sequence[Any] | None = None,
    columns: Mapping[str, Sequence[Any] | pd.Series[Any]] | None = None,
) -> pd.DataFrame:
    """Build the table of an image set: unique paths, labels as text or None, further columns as they are.

    Raises:
        ImagesError: There are no rows, or the lengths differ, or a further column is called path or label.
    """
    if not paths:
        raise ImagesError("There are no images; give at least one.")
    texts = [None] * len(paths) if labels is None else [label_text(label) for label in labels]
    table = {"path": pd.Series([readable(path) for path in paths]), "label": pd.Series(texts, dtype=object)}
    for name, values in (columns or {}).items():
        if name in table:
            raise ImagesError(f"A further column cannot be called {name!r}; rename it.")
        table[name] = pd.Series(values).reset_index(drop=True)
    for name, column in table.items():
        if len(column) != len(paths):
            raise ImagesError(f"There are {len(paths)} images but {len(column)} of {name!r}; give one per image.")
    return pd.DataFrame(table)


def _picked(fetch: Callable[[int], T], rows: NDArray[np.int64], index: int) -> T:
    return fetch(int(rows[index]))


_UNREADABLE = hashlib.blake2b(b"unreadable", digest_size=16).digest()


def _stored_hash(fetch: FetchMask, index: int) -> bytes | None:
    """A hash of what is stored in a row; None where nothing is."""
    try:
        stored = fetch(index)
    except UnreadableImageError:
        return _UNREADABLE
    return None if stored is None else _content_hash(stored)


def _content_hash(stored: Stored) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(stored, np.ndarray):
        digest.update(repr(stored.shape).encode())
        digest.update(np.ascontiguousarray(stored).data)
    elif isinstance(stored, Path):
        try:
            with stored.open("rb") as file:
                return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
        except OSError:
            return _UNREADABLE
    else:
        digest.update(stored)
    return digest.digest()


_ONE_IS_WHITE = [min(255 * shade, 255) for shade in range(256)]


def _fetch_shades(masks: Sequence[ArrayLike | None] | NDArray[Any] | None, count: int) -> FetchMask | None:
    """Check masks and bring them to 8 bits."""
    if masks is None:
        return None
    if len(masks) != count:
        raise ImagesError(f"There are {count} images but {len(masks)} masks; give one per image, or None.")
    return [None if mask is None else _shades(mask, index) for index, mask in enumerate(masks)].__getitem__


def _shades(mask: ArrayLike, index: int) -> NDArray[np.uint8]:
    shades = np.asarray(mask)
    if shades.ndim != 2:
        raise ImagesError(f"The mask of image {index} has {shades.ndim} dimensions; give H x W.")
    return _pixels(shades.astype(np.float32) if shades.dtype == np.bool_ else shades, index, "The mask of image")


def _array(image: ArrayLike | Image.Image | Path | str, index: int) -> NDArray[Any]:
    """An image as an array: files and pictures of Pillow are decoded."""
    if isinstance(image, str | Path):
        return np.asarray(decode(Path(image), str(image)))
    return np.asarray(eight_bit(image) if isinstance(image, Image.Image) else image)


def _common_range(arrays: Sequence[NDArray[Any]]) -> ValueRange | None:
    """The range of the arrays of whole numbers other than uint8; None if there are none."""
    deep = [a for a in arrays if np.issubdtype(a.dtype, np.integer) and a.dtype != np.uint8 and a.size]
    return common_range([Extent.of(array, whole=True) for array in deep]) if deep else None


def _pixels(array: ArrayLike, index: int, what: str = "Image", common: ValueRange | None = None) -> NDArray[np.uint8]:
    """Check one image and bring it to 8 bits, in a range if there is one."""
    pixels = np.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not pixels.size or (pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] != 3)):
        shape = " x ".join(map(str, pixels.shape)) or "a single number"
        raise ImagesError(
            f"{what} {index} has the shape {shape}; give H x W (gray) or H x W x 3 (RGB, channels last), "
            "and at least one pixel."
        )
    if pixels.dtype == np.uint8:
        return pixels
    if common and np.issubdtype(pixels.dtype, np.number):
        return common.shades(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ImagesError(f"{what} {index} has the type {pixels.dtype}; give uint8, or floats in [0, 1].")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # put this way round, NaN is refused too
        raise ImagesError(f"{what} {index} has floats from {low:g} to {high:g}; give floats in [0, 1], or uint8.")
    return np.asarray(np.rint(pixels * 255), dtype=np.uint8)
