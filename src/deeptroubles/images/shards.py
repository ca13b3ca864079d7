"""Many images in few files: WebDataset tar shards, and Parquet files that hold the encoded images themselves.

Both are read through fsspec, so they may lie on this machine or wherever fsspec reaches. Where each image lies is
learned when the set is loaded; its bytes are read when it is asked for.
"""

from __future__ import annotations

import json
import sys
import tarfile
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from numpy.typing import NDArray

from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images.decoding import is_image_name
from deeptroubles.images.image_set import ImageSet, image_table
from deeptroubles.images.patience import out_of_reach, patiently
from deeptroubles.progress import track

_GROUPS_HELD = 4
"""Row groups of Parquet files whose images stay in memory."""
_BYTES = "bytes"
_MAGIC = b"PAR1"
"""How a Parquet file begins."""


@dataclass(frozen=True)
class TarMembers:
    """Fetches images from tar files. `places` says of each the number of its file, its first byte and its length."""

    files: AbstractFileSystem
    shards: Sequence[str]
    places: NDArray[np.int64]

    def __call__(self, index: int) -> bytes:
        """Read the encoded image of a row."""
        number, start, size = self.places[index].tolist()
        shard = self.shards[number]
        try:
            return bytes(patiently(lambda: self.files.cat_file(shard, start=start, end=start + size), shard))
        except (FileNotFoundError, PermissionError) as error:
            raise UnreadableImageError(shard, out_of_reach(error)) from error


@dataclass(slots=True)
class _Sample:
    """The members of one key: its image, and what stands beside it. There are as many as images, so it is small."""

    path: str = ""
    start: int = 0
    size: int = 0
    label: str | None = None
    facts: dict[str, Any] | None = None


def load_tars(files: AbstractFileSystem, shards: Sequence[str], name: str) -> ImageSet:
    """List the images of WebDataset shards: uncompressed tar files in which members of one name belong together.

    `x.jpg` is the image, `x.cls` its class, `x.json` further facts (`label` among them) and `x.txt` a text. Without a
    class the first folder in the archive is the label, as in archives of class folders.

    Args:
        files: Where the shards are.
        shards: Their paths.
        name: What to call the set.

    Raises:
        ImagesError: A shard is not a tar file or is compressed, or there are no images.
    """
    found = [_samples(files, shard) for shard in track(shards, "Listing shards")]
    samples = list(chain(*found))
    if not samples:
        raise ImagesError(f"{name} holds no images; in WebDataset shards they are members such as 000001.jpg.")
    numbers = np.repeat(np.arange(len(shards)), [len(each) for each in found])
    names = [f"{PurePosixPath(shard).name}/" if len(shards) > 1 else "" for shard in shards]
    columns = sorted({column for sample in samples for column in sample.facts or ()})
    table = image_table(
        [names[number] + sample.path for number, sample in zip(numbers, samples, strict=True)],
        [sample.label for sample in samples],
        {column: [(sample.facts or {}).get(column) for sample in samples] for column in columns},
    )
    places = np.array([numbers, [s.start for s in samples], [s.size for s in samples]], dtype=np.int64).T
    return ImageSet(name, table, TarMembers(files, list(shards), places))


def _samples(files: AbstractFileSystem, shard: str) -> list[_Sample]:
    try:
        found = patiently(lambda: _listed(files, shard), shard)
    except (FileNotFoundError, PermissionError) as error:
        raise ImagesError(f"{shard} cannot be read ({error}).") from error
    for sample in found:
        folder, slash, _ = sample.path.partition("/")
        sample.label = sample.label or (folder if slash else None)
        sample.label = sample.label and sys.intern(sample.label)  # images share the few that there are
    return found


def _listed(files: AbstractFileSystem, shard: str) -> list[_Sample]:
    samples: dict[str, _Sample] = {}
    try:
        with files.open(shard, "rb") as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
            while (member := archive.next()) is not None:
                if member.isfile():
                    _add(samples, member, archive)
                archive.members.clear()  # type: ignore[attr-defined]  # which it would hold until it is closed
    except (tarfile.TarError, EOFError) as error:
        raise ImagesError(
            f"{shard} cannot be read as a tar file ({error}); unpack it first if it is compressed."
        ) from error
    return [sample for sample in samples.values() if sample.path]


def _add(samples: dict[str, _Sample], member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    """Put a member where its key belongs; what is neither an image nor known beside one is passed over."""
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    key, _, kind = name.partition(".")
    sample = samples.setdefault(f"{folder}/{key}", _Sample())
    if is_image_name(name) and not sample.path:
        sample.path = member.name.removeprefix("./")
        sample.start, sample.size = member.offset_data, member.size
    elif kind in {"cls", "json", "txt"} and (held := archive.extractfile(member)):
        text = held.read().decode("utf-8", errors="replace").strip()
        if kind == "cls":
            sample.label = text or None
        elif kind == "txt":
            sample.facts = (sample.facts or {}) | {"text": text}
        else:
            facts = _facts(text)
            sample.label = sample.label or facts.pop("label", None)
            sample.facts = (sample.facts or {}) | facts


def _facts(text: str) -> dict[str, Any]:
    """The entries of a JSON object that are no lists and no objects, under names that are not ours."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    kept = {str(k): v for k, v in found.items() if not isinstance(v, list | dict) and k != "path"}
    return kept | ({"label": str(kept["label"])} if kept.get("label") is not None else {})


@dataclass(frozen=True)
class ParquetImages:
    """Fetches images from a column of Parquet files, one row group at a time.

    `places` says of each image the number of its file, its row group and its row in that.
    """

    files: AbstractFileSystem
    column: str
    paths: Sequence[str]
    places: NDArray[np.int64]
    read: Any = field(init=False, repr=False, compare=False)
    locks: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", lru_cache(_GROUPS_HELD)(self._group))
        object.__setattr__(self, "locks", defaultdict(threading.Lock))

    def __call__(self, index: int) -> bytes:
        """Give the encoded image of a row; empty where there is none."""
        number, group, row = self.places[index].tolist()
        path = self.paths[number]
        with self.locks[path, group]:  # many threads ask for images of one group, and one of them reads it
            held = self.read(path, group)
        if isinstance(held, str):
            raise UnreadableImageError(f"{path}, row group {group}, row {row}", held)
        value = held[row].as_py()
        value = value.get(_BYTES) if isinstance(value, Mapping) else value
        return value or b""

    def _group(self, path: str, group: int) -> pa.ChunkedArray | str:
        """The images of a row group, or why it cannot be read though the file can."""

        def read() -> pa.ChunkedArray | str:
            with self.files.open(path, "rb") as raw:
                try:
                    return pq.ParquetFile(raw).read_row_group(group, columns=[self.column]).column(self.column)
                except pa.ArrowException as error:
                    return _damaged(error)

        try:
            return patiently(read, path)
        except (FileNotFoundError, PermissionError) as error:
            return out_of_reach(error)
        except ImagesError as error:
            if patiently(lambda: self.files.cat_file(path, start=0, end=4), path) == _MAGIC:
                return _damaged(error.__cause__ or error)
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.files, self.column, self.paths, self.places)


def _damaged(error: BaseException) -> str:
    return f"its part of the file is damaged ({str(error).splitlines()[0][:100]})"


def holds_images(files: AbstractFileSystem, path: str) -> bool:
    """Whether a Parquet file holds encoded images itself, and no paths. Raises ImagesError where it is out of reach."""

    def look() -> bool:
        with files.open(path, "rb") as raw, suppress(pa.ArrowException):
            return _image_column(pq.ParquetFile(raw).schema_arrow) is not None
        return False

    try:
        return patiently(look, path)
    except (FileNotFoundError, PermissionError):
        return False


def load_parquet_images(files: AbstractFileSystem, paths: Sequence[str], name: str) -> ImageSet:
    """List the images of Parquet files with a column of encoded images, as Hugging Face datasets are kept.

    The column holds bytes, or structures with `bytes` and `path`. `label` is the label; its names are taken from what
    Hugging Face wrote into the file, where it did. All other columns are kept as they are.

    Raises:
        ImagesError: A file cannot be read, has no such column, or the files have no rows.
    """
    places: list[NDArray[np.int64]] = []
    tables, column = [], ""
    for number, path in enumerate(track(paths, "Listing Parquet files")):
        try:
            column, groups, table = patiently(lambda path=path: _parquet_rows(files, path), path)  # type: ignore[misc]
        except (FileNotFoundError, PermissionError) as error:
            raise ImagesError(f"{path} cannot be read ({error}).") from error
        group = np.repeat(np.arange(len(groups)), groups)
        row = np.concatenate([np.arange(count) for count in groups]) if groups else group
        places.append(np.stack([np.full(len(group), number), group, row], axis=1))
        tables.append(table)
    where = np.concatenate(places)
    if not len(where):
        raise ImagesError(f"{name} holds no images.")
    table = pd.concat(tables, ignore_index=True)
    labels = table.pop("label").tolist() if "label" in table else None
    table = table.drop(columns="path", errors="ignore")
    flat = {str(c): table[c] for c in table if not table[c].map(lambda v: isinstance(v, list | dict)).any()}
    names = [PurePosixPath(path).name for path in paths]
    titles = [f"{names[number]}/{group}/{row}" for number, group, row in where.tolist()]
    return ImageSet(name, image_table(titles, labels, flat), ParquetImages(files, column, list(paths), where))


def _parquet_rows(files: AbstractFileSystem, path: str) -> tuple[str, list[int], pd.DataFrame]:
    """The column of images of a Parquet file, how many rows each row group has, and all other columns."""
    try:
        with files.open(path, "rb") as raw:
            held = pq.ParquetFile(raw)
            column = _image_column(held.schema_arrow)
            if column is None:
                raise ImagesError(f"{path} has no column of encoded images.")
            groups = [held.metadata.row_group(group).num_rows for group in range(held.num_row_groups)]
            others = [field.name for field in held.schema_arrow if field.name != column]
            table = held.read(columns=others).to_pandas().reindex(range(held.metadata.num_rows))
            return column, groups, _named_labels(table, held.schema_arrow)
    except pa.ArrowException as error:
        raise ImagesError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error


def _image_column(schema: pa.Schema) -> str | None:
    """The first column of bytes, or of structures with bytes."""
    for each in schema:
        kind = each.type
        nested = pa.types.is_struct(kind) and kind.get_field_index(_BYTES) >= 0
        kind = kind.field(_BYTES).type if nested else kind
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return str(each.name)
    return None


def _named_labels(table: pd.DataFrame, schema: pa.Schema) -> pd.DataFrame:
    """Numbers of classes as their names, where the file has a list of names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features["label"]["names"]
        known: dict[Any, str] = dict(enumerate(names))
        return table.assign(label=table["label"].map(known.get))
    except (KeyError, TypeError, ValueError):
        return table
