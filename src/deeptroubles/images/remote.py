"""Images elsewhere: `s3://`, `gs://`, `https://` and whatever else fsspec reaches. Nobody is asked unless named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images.decoding import is_image_name
from deeptroubles.images.image_set import ImageSet, image_table
from deeptroubles.images.manifest import is_manifest, load_manifest
from deeptroubles.images.patience import out_of_reach, patiently
from deeptroubles.images.shards import holds_images, load_parquet_images, load_tars

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.+", re.IGNORECASE)
_DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "abfs": "adlfs", "http": "aiohttp"}
"""Packages that fsspec needs for a protocol."""


@dataclass(frozen=True)
class RemoteFiles:
    """Fetches images or masks by their paths from a common root; a mask that has no path is None."""

    files: AbstractFileSystem
    root: str
    paths: Sequence[str | None]

    def __call__(self, index: int) -> Any:
        """Read the encoded image of a row."""
        path = self.paths[index]
        if path is None:
            return None
        place = f"{self.root}/{path}"
        try:
            return bytes(patiently(lambda: self.files.cat_file(place), place))
        except (FileNotFoundError, PermissionError) as error:
            raise UnreadableImageError(path, out_of_reach(error)) from error


def is_address(source: str) -> bool:
    """Whether a source is an address with a protocol."""
    return bool(_ADDRESS.fullmatch(source))


def load_remote(address: str) -> ImageSet:
    """List images at an address: a folder of class folders, a manifest, tar shards or Parquet files of images.

    `*` in the last part of an address stands for anything, as in `s3://bucket/shard-*.tar`.

    Raises:
        ImagesError: There is nothing at the address, or it cannot be read.
    """
    files, path = _open(address)
    try:
        found = patiently(lambda: _listed(files, path), address)
    except (FileNotFoundError, PermissionError) as error:
        raise ImagesError(f"{address} cannot be listed ({str(error).splitlines()[0][:200]}).") from error
    name = PurePosixPath(path.rstrip("/")).name or address
    return (
        sharded(files, found, name) or _manifest_at(files, path) or _folder_at(files, path.rstrip("/"), found, address)
    )


def _listed(files: AbstractFileSystem, path: str) -> list[str]:
    found = sorted(files.glob(path)) if "*" in path else [path]
    return sorted(files.find(found[0])) if found and files.isdir(found[0]) else found


def sharded(files: AbstractFileSystem, paths: Sequence[str], name: str) -> ImageSet | None:
    """The images of files that are all tar shards, or all Parquet files of images; None where they are not."""
    kinds = {PurePosixPath(path).suffix.lower() for path in paths}
    if kinds == {".tar"}:
        return load_tars(files, paths, name)
    if kinds == {".parquet"} and holds_images(files, paths[0]):
        return load_parquet_images(files, paths, name)
    return None


def _open(address: str) -> tuple[AbstractFileSystem, str]:
    protocol = address.partition("://")[0].lower()
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        driver = _DRIVERS.get(protocol)
        what = f"install {driver} (pip install {driver})" if driver else f"{protocol} is unknown"
        raise ImagesError(f"{address} cannot be opened: {what}.") from error
    return files, str(path)


def _manifest_at(files: AbstractFileSystem, path: str) -> ImageSet | None:
    """A manifest is read here; its paths are from where it lies."""
    if not is_manifest(Path(path)):
        return None
    with TemporaryDirectory(prefix="deeptroubles-") as folder:
        local = Path(folder) / PurePosixPath(path).name
        try:
            local.write_bytes(patiently(lambda: files.cat_file(path), path))
        except OSError as error:
            raise ImagesError(f"There is no manifest at {path} ({error}).") from error
        listed = load_manifest(local)
        paths = [str(each) for each in listed.table["path"]]
    root = path.rpartition("/")[0]
    masks: dict[str, Any] = {}
    for kind in ("mask", "cue_mask"):
        if kind in listed.table:
            masks[f"fetch_{kind}"] = RemoteFiles(files, root, list(listed.table[kind]))
    return replace(listed, fetch=RemoteFiles(files, root, paths), common_range=None, **masks)


def _folder_at(files: AbstractFileSystem, root: str, found: Sequence[str], address: str) -> ImageSet:
    paths = [path.removeprefix(root).lstrip("/") for path in found if is_image_name(path)]
    if not paths:
        raise ImagesError(f"There are no images at {address}.")
    if paths == [""]:
        root, _, name = root.rpartition("/")
        paths = [name]
    labels = [path.split("/")[0] if "/" in path else None for path in paths]
    return ImageSet(PurePosixPath(root).name, image_table(paths, labels), RemoteFiles(files, root, paths))
