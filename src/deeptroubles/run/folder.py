"""The folder of one run: the results computed so far, then the audit, its tables and its pictures.

Every file is written beside its place and then moved there, so that a run that is killed leaves only whole files and
the same command resumes it. Nothing in the folder is ever executed when it is read.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from deeptroubles.errors import RunFolderError
from deeptroubles.findings import SCHEMA_VERSION, Audit, audit_from_json, audit_to_json
from deeptroubles.pictures import MEDIA
from deeptroubles.run.files import write_whole
from deeptroubles.run.origin import MARKER

Arrays = Mapping[str, NDArray[Any]]


class RunFolder:
    """A folder that holds one run.

    Args:
        path: The folder; made when it does not exist.
        identity: What the run is about (model, images, seed). A folder that holds a run with another identity is
            refused, one with the same identity is resumed.

    Raises:
        RunFolderError: The folder holds something else, or cannot be written.
    """

    def __init__(self, path: Path | str, identity: Mapping[str, str]) -> None:
        self.path = Path(path)
        marker = self.path / MARKER
        try:
            begun = marker.is_file()
            other = not begun and self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be read ({error.strerror}); choose another folder with --out."
            ) from error
        if other:
            raise RunFolderError(
                f"{self.path} exists and is not a run of deeptroubles; choose another folder with --out."
            )
        if begun:
            self._check_identity(marker, dict(identity))
        else:
            self._write(MARKER, json.dumps(dict(identity), indent=1).encode())

    def _check_identity(self, marker: Path, identity: dict[str, str]) -> None:
        try:
            held = json.loads(marker.read_text())
            different = [what for what in identity if held.get(what) != identity[what]]
        except (OSError, ValueError, AttributeError) as error:
            raise RunFolderError(f"{marker} cannot be read ({error}); choose another folder with --out.") from error
        if different:
            raise RunFolderError(
                f"{self.path} holds another run (different {' and '.join(different)}); choose another folder with "
                "--out, or delete that one."
            )

    def chunk(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays kept under `key`, or None when there are none (or none that can be read)."""
        try:
            with (self.path / "chunks" / f"{key}.npz").open("rb") as file, np.load(file, allow_pickle=False) as held:
                arrays = {name: held[name] for name in held.files}
        except Exception:  # noqa: BLE001 (damaged files raise nearly anything; such a chunk is computed anew)
            return None
        whole = all(isinstance(array, np.ndarray) for array in arrays.values())  # numpy gives what is no array as bytes
        return arrays if whole else None

    def keep_chunk(self, key: str, arrays: Arrays) -> None:
        """Keep arrays under `key`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        self._write(f"chunks/{key}.npz", buffer.getvalue())

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as `tables/<name>.parquet`; columns that mix numbers and text become text."""
        kinds = {str(column): pd.api.types.infer_dtype(table[column]) for column in table}
        mixed = [column for column, kind in kinds.items() if kind.startswith("mixed")]
        buffer = io.BytesIO()
        table.astype(dict.fromkeys(mixed, "string")).to_parquet(buffer, index=False)
        self._write(f"tables/{name}.parquet", buffer.getvalue())

    def write_audit(self, audit: Audit) -> None:
        """Write `audit.json`, its pictures as files under `images/`."""

        def to_file(src: str) -> str:
            data = base64.b64decode(src.removeprefix(MEDIA))
            name = f"images/{hashlib.blake2b(data, digest_size=12).hexdigest()}.webp"
            if not (self.path / name).exists():
                self._write(name, data)
            return name

        document = _map_sources(json.loads(audit_to_json(audit)), lambda s: to_file(s) if s.startswith(MEDIA) else s)
        self._write("audit.json", json.dumps(document, ensure_ascii=False, indent=1).encode())

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)


def read_audit(path: Path | str) -> Audit:
    """Read the audit of a run folder, its pictures inlined as data URIs.

    Args:
        path: The folder.

    Raises:
        RunFolderError: The folder holds no audit, a damaged one, or one of a newer format.
    """
    path = Path(path)

    def to_uri(src: str) -> str:
        file = path / src
        inside = file.resolve().is_relative_to((path / "images").resolve())
        return MEDIA + base64.b64encode(file.read_bytes()).decode() if inside else src

    try:
        document = json.loads((path / "audit.json").read_text(encoding="utf-8"))
        _expect_known(document, path)
        return audit_from_json(json.dumps(_map_sources(document, to_uri)))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} holds no complete audit ({error.filename} is missing).") from error
    except (OSError, ValueError, ValidationError) as error:
        raise RunFolderError(f"The audit in {path} cannot be read ({str(error).splitlines()[0]}).") from error


def _expect_known(document: Any, path: Path) -> None:
    """Refuse an audit whose format is newer. Older ones are read: what was added since has a default."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunFolderError(
            f"The audit in {path} is of format {version}, and this version reads up to {SCHEMA_VERSION}; update "
            "deeptroubles (pip install --upgrade deeptroubles)."
        )


def _map_sources(node: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to the `src` of every picture in a JSON document."""
    if isinstance(node, dict):
        return {k: change(v) if k == "src" and isinstance(v, str) else _map_sources(v, change) for k, v in node.items()}
    return [_map_sources(value, change) for value in node] if isinstance(node, list) else node
