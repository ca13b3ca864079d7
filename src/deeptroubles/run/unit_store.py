"""What a run folder holds about units: tables and sprites by layer, and a catalogue that says what each shows.

    units/catalogue.json                                    every entry, with its key, parameters and files
    units/<layer>/<technique>-<key>.parquet                 one row per unit, sample, ...
    units/<layer>/<technique>-<key>-<page>.webp             a sprite: one row of pictures per row of the table

An entry stands under a key of all that decides it. Its files are written before it is listed, so that what the
catalogue lists is whole. This file imports no torch: a web page or a report reads the same files anywhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from deeptroubles.errors import RunFolderError
from deeptroubles.run.files import write_whole
from deeptroubles.run.tables import read_table


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """Pictures of one size, packed into files: `columns` pictures side by side, `rows` rows in every full file.

    Attributes:
        files: Relative to the run folder.
        height, width: Size of one picture in pixels.
        columns: Pictures in a row.
        rows: Rows in a file (the last may have fewer).
        count: Rows in all files.
    """

    files: tuple[str, ...]
    height: int
    width: int
    columns: int
    rows: int
    count: int


@dataclass(frozen=True, kw_only=True)
class SpriteSource:
    """What a sprite is made of: its WebP files, one at a time, and the layout as in `Sprite`."""

    pages: Iterable[bytes]
    height: int
    width: int
    columns: int
    rows: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One technique on one layer.

    Attributes:
        key: Hash of all that decides it.
        layer: The layer's name.
        technique: `statistics`, `samples`, `words`, `activation_maximization`, ...
        parameters: What it was made with.
        facts: What a reader should know beside the table.
        table: The Parquet file, relative to the run folder.
        sprite: Its pictures, one row of them per row of the table (or per unit).
    """

    key: str
    layer: str
    technique: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""
    sprite: Sprite | None = None


_ENTRIES: TypeAdapter[list[Entry]] = TypeAdapter(list[Entry])


def folder_name(layer: str) -> str:
    """A layer's name as every file system and every link takes it."""
    plain = re.sub(r"[^A-Za-z0-9._-]|^\.", "_", layer)
    return plain if plain == layer else f"{plain}-{hashlib.blake2b(layer.encode(), digest_size=3).hexdigest()}"


class UnitStore:
    """The units in a run folder.

    Args:
        path: The run folder.
        subject: Fingerprint of what the units belong to, and of what looks at them; only needed to keep and to find.
    """

    def __init__(self, path: Path | str, subject: str = "") -> None:
        self.path = Path(path)
        self._subject = subject

    def entries(self) -> list[Entry]:
        """All that is listed, in the order in which it was kept.

        Raises:
            RunFolderError: The catalogue is damaged.
        """
        try:
            return _ENTRIES.validate_json(self._catalogue.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            raise RunFolderError(
                f"{self._catalogue} cannot be read ({str(error).splitlines()[0]}); delete the folder beside it."
            ) from error

    def find(self, layer: str, technique: str, parameters: Mapping[str, Any]) -> Entry | None:
        """What was kept of a technique on a layer with these parameters, if anything."""
        key = self._key(layer, technique, parameters)
        return next((entry for entry in self.entries() if entry.key == key), None)

    def current(self, layer: str, technique: str) -> list[Entry]:
        """What was kept of a technique on a layer for this subject, with any parameters."""
        return [
            entry
            for entry in self.entries()
            if (entry.layer, entry.technique) == (layer, technique)
            and entry.key == self._key(layer, technique, entry.parameters)
        ]

    def keep(
        self,
        layer: str,
        technique: str,
        parameters: Mapping[str, Any],
        table: pd.DataFrame,
        facts: Mapping[str, Any] | None = None,
        pictures: SpriteSource | None = None,
    ) -> Entry:
        """Write a table and its pictures, then list them.

        Args:
            layer: The layer's name.
            technique: What was done.
            parameters: Plain values that JSON can hold.
            table: What was found.
            facts: What a reader should know beside the table.
            pictures: What belongs beside it.
        """
        key = self._key(layer, technique, parameters)
        stem = f"units/{folder_name(layer)}/{technique}-{key}"
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        write_whole(self.path / f"{stem}.parquet", buffer.getvalue())
        sprite = None
        if pictures:
            files = []
            for page, content in enumerate(pictures.pages):
                files.append(f"{stem}-{page}.webp")
                write_whole(self.path / files[-1], content)
            sprite = Sprite(
                files=tuple(files),
                height=pictures.height,
                width=pictures.width,
                columns=pictures.columns,
                rows=pictures.rows,
                count=pictures.count,
            )
        entry = Entry(
            key=key,
            layer=layer,
            technique=technique,
            parameters=dict(parameters),
            facts=dict(facts or {}),
            table=f"{stem}.parquet",
            sprite=sprite,
        )
        with FileLock(self._catalogue.with_suffix(".lock")):  # so that nobody else's entry is lost
            others = [other for other in self.entries() if other.key != key]
            write_whole(self._catalogue, _ENTRIES.dump_json([*others, entry], indent=1))
        return entry

    def table(self, entry: Entry) -> pd.DataFrame:
        """The table of an entry.

        Raises:
            RunFolderError: It lies outside of the run folder, or cannot be read.
        """
        return read_table(self._inside(entry.table), "delete the folder `units` of the run, and compute it again")

    def picture_file(self, entry: Entry, page: int) -> Path:
        """One of the files with the pictures of an entry.

        Raises:
            RunFolderError: It lies outside of the run folder, or there is none.
        """
        files = entry.sprite.files if entry.sprite else ()
        if not 0 <= page < len(files):
            raise RunFolderError(f"{entry.technique} of {entry.layer} has {len(files)} files of pictures.")
        file = self._inside(files[page])
        if not file.is_file():
            raise RunFolderError(f"{file} is missing; delete the folder `units` of the run, and compute it again.")
        return file

    def _inside(self, name: str) -> Path:
        """A file that the catalogue names. Raises RunFolderError where it lies outside of the run folder."""
        file = self.path / name
        if not file.resolve().is_relative_to((self.path / "units").resolve()):
            raise RunFolderError(f"{file} cannot be read (it lies outside of the run folder).")
        return file

    @property
    def _catalogue(self) -> Path:
        return self.path / "units" / "catalogue.json"

    def _key(self, layer: str, technique: str, parameters: Mapping[str, Any]) -> str:
        decides = json.dumps([self._subject, layer, technique, dict(parameters)], sort_keys=True)
        return hashlib.blake2b(decides.encode(), digest_size=6).hexdigest()
