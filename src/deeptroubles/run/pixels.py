"""Prepared pixels on disk: one memory-mapped file per run, from which every check reads what was decoded once.

The file holds one record per image, in the order of the images: its pixels (H x W x C, 8 bits) and their checksum.
Records are written where they belong, whenever they are made; one that is missing, cut short or damaged has no valid
checksum and counts as not there. So a killed run is resumed with what it had decoded.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ByteSize, Field, TypeAdapter, ValidationError

from deeptroubles.errors import RunFolderError, UsageError
from deeptroubles.run.files import cannot_write
from deeptroubles.run.folder import RunFolder

SHARE_OF_DISK = 4
"""The default limit is the free disk space divided by this number."""
_SIZE: TypeAdapter[ByteSize] = TypeAdapter(Annotated[ByteSize, Field(ge=0)])


@dataclass(frozen=True, eq=False)
class PixelFile:
    """The prepared pixels of the images of a set, or of a part of it.

    The file is opened for each reading: it then counts little as this process's memory, and the object can be sent to
    another process.

    Args:
        path: The file. It need not exist; its folder must.
        shape: Height, width and channels of an image.
        rows: The record of each image; -1 where it is over the bound and never kept. N.
    """

    path: Path
    shape: tuple[int, int, int]
    rows: NDArray[np.int64]

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The pixels of some images (n x H x W x C, 0 where they are not held), and which are held (n)."""
        wanted = self.rows[np.asarray(indices, dtype=np.int64)]
        records = np.zeros(len(wanted), dtype=self._record)
        length = self._length()
        held = (wanted >= 0) & (wanted < length)
        if held.any():
            with suppress(FileNotFoundError):  # removed meanwhile: then no checksum fits
                records[held] = np.memmap(self.path, dtype=self._record, mode="r", shape=(length,))[wanted[held]]
        held &= records["check"] == _checks(records["pixels"])
        pixels = np.ascontiguousarray(records["pixels"])
        pixels[~held] = 0
        return pixels, held

    def write(self, indices: Sequence[int] | NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        """Keep the pixels of some images (n x H x W x C), as far as they are within the bound.

        Raises:
            RunFolderError: The file cannot be written.
        """
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        records = np.zeros(len(rows), dtype=self._record)
        records["pixels"], records["check"] = pixels, _checks(pixels)
        try:
            self.path.parent.mkdir(exist_ok=True)  # another process that is done with this run may have removed it
            self.path.touch()
            with self.path.open("r+b") as file:
                for row, record in zip(rows.tolist(), records, strict=True):
                    if row >= 0:
                        file.seek(row * self._record.itemsize)
                        file.write(record.tobytes())
        except FileNotFoundError:
            return  # removed again meanwhile: what is not held is decoded when it is needed
        except OSError as error:
            raise RunFolderError(cannot_write(self.path, error)) from error

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> PixelFile:
        """The same file, for some of the images in the given order."""
        return replace(self, rows=self.rows[np.asarray(indices, dtype=np.int64)])

    @property
    def over(self) -> int:
        """How many images are over the bound."""
        return int((self.rows < 0).sum())

    @property
    def _record(self) -> np.dtype[np.void]:
        return np.dtype([("pixels", np.uint8, self.shape), ("check", np.uint32)])

    def _length(self) -> int:
        """How many whole records the file has room for."""
        try:
            return self.path.stat().st_size // self._record.itemsize
        except OSError:
            return 0


def _checks(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return np.array([zlib.crc32(np.ascontiguousarray(each).data) for each in pixels], dtype=np.uint32)


@dataclass(frozen=True)
class PixelFolder:
    """Where a run keeps prepared pixels, and how many bytes of them at most."""

    path: Path
    most: int

    def file(self, key: str, count: int, shape: tuple[int, int, int]) -> PixelFile:
        """The file for `count` images; `key` says all that decides their pixels. Files of other keys are removed.

        Raises:
            RunFolderError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for other in self.path.iterdir():
                if other.name != key:
                    other.unlink(missing_ok=True)
        except OSError as error:
            raise RunFolderError(cannot_write(self.path, error)) from error
        file = PixelFile(self.path / key, shape, np.arange(count))
        room = self.most // file._record.itemsize  # noqa: SLF001 (a file of our own)
        return replace(file, rows=np.where(file.rows < room, file.rows, -1))


def parse_size(size: int | str) -> int:
    """A number of bytes, or a text such as 500MB, 4GB or 0, in bytes. Raises UsageError."""
    try:
        return int(_SIZE.validate_python(size))
    except ValidationError:
        raise UsageError(f"{size!r} is not a size; write a number of bytes, or such as 500MB or 4GB.") from None


@contextmanager
def keeping_pixels(folder: RunFolder | None, most: int | None = None) -> Iterator[PixelFolder]:
    """A place for prepared pixels for as long as the block lasts: in the run folder, or else a temporary one.

    When the block ends with an error, or is interrupted, the run folder keeps them, so that the same command
    resumes with them. Otherwise nothing is left to resume, and they are removed.

    Args:
        folder: The run folder, if there is one.
        most: Bytes that are kept at most. Default: a quarter of the free space on the disk.
    """
    if folder is None:
        with TemporaryDirectory(prefix="deeptroubles-", ignore_cleanup_errors=True) as temporary:
            yield PixelFolder(Path(temporary), _room(Path(temporary), most))
        return
    place = folder.path / "pixels"
    yield PixelFolder(place, _room(folder.path, most))
    shutil.rmtree(place, ignore_errors=True)


def _room(place: Path, most: int | None) -> int:
    return shutil.disk_usage(place).free // SHARE_OF_DISK if most is None else most
