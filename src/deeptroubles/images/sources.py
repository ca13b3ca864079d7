"""From what a person types to an image set."""

from __future__ import annotations

from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from deeptroubles.errors import ImagesError, UsageError, nearest
from deeptroubles.images.decoding import is_image_file, is_image_name
from deeptroubles.images.demo import load_demo
from deeptroubles.images.depth import parse_range
from deeptroubles.images.folder import load_file, load_folder
from deeptroubles.images.huggingface import is_saved_dataset, load_hub_dataset, load_saved_dataset
from deeptroubles.images.idx import find_idx, is_idx, load_idx, load_idx_folder
from deeptroubles.images.image_set import ImageSet
from deeptroubles.images.manifest import is_manifest, load_manifest
from deeptroubles.images.mask_folder import with_mask_folder
from deeptroubles.images.published import load_published
from deeptroubles.images.remote import is_address, load_remote, sharded

_ACCEPTED = (
    "Give a folder of images, a manifest (.csv, .tsv or .parquet) with a column 'path', tar shards, an IDX file, an "
    "image file, an address (s3://...), a Hugging Face dataset (hf:NAME or hf:NAME:SPLIT), or demo."
)


def load_images(
    source: str | Path,
    *,
    label: str | None = None,
    path_column: str | None = None,
    value_range: tuple[float, float] | str | None = None,
    masks: str | Path | None = None,
) -> ImageSet:
    """Find images to audit a classifier on. Files are listed here, and decoded when an image is asked for.

    Args:
        source: One of

            * a folder with one subfolder per class, or simply of images;
            * a CSV, TSV or Parquet manifest with a column `path` (relative to the manifest), and where known `label`,
              `group`, `mask`, `lat`, `lon`, `country` or any other column;
            * a folder of CelebA, FairFace, UTKFace or Waterbirds as they were published;
            * an IDX file of images as MNIST has them, with its labels beside it, or a folder of such files;
            * WebDataset tar shards, or Parquet files that hold the images themselves: a file, a folder of them, or a
              pattern such as `shards/*.tar`;
            * an address such as `s3://bucket/photos`, of any of these but published data sets and IDX;
            * an image file;
            * `hf:NAME` or `hf:NAME:SPLIT`, a Hugging Face dataset, or a folder that its `save_to_disk` wrote;
            * `demo`, photographs that come with scikit-image and scikit-learn.
        label: The column that is the label. Default: what the source says.
        path_column: The column of a manifest that holds the files. Default: `path`.
        value_range: The stored values that are black and white in images with more than 8 bits, such as (0, 4095) or
            "0:4095". Default: the window of a DICOM file where values of different files are not comparable (all but
            CT); for other images one range, found in the values of all of them.
        masks: A folder of object masks that mirrors the images: the mask of `cat/1.jpg` is `cat/1.png` there, or any
            other image of that name and of the image's size; the object is where it is not 0. Default: the masks that
            the source has, such as the column `mask` of a manifest.

    Raises:
        ImagesError: There is no such source, there are no images in it, or no image has a mask in the folder.
        UsageError: There is no such column, the range is none, or a column of paths is named for something else.
    """
    found = _load(source, path_column)
    if value_range is not None:
        text = value_range if isinstance(value_range, str) else "{}:{}".format(*value_range)
        found = found.in_range(parse_range(text))
    if masks is not None:
        found = with_mask_folder(found, masks)
    return found if label is None else found.labelled_by(label)


def _load(source: str | Path, path_column: str | None) -> ImageSet:
    if path_column is not None:
        manifest = Path(source).expanduser()
        if not is_manifest(manifest):
            raise UsageError(
                f"{source} is not a manifest (.csv, .tsv or .parquet), so it has no column of paths; leave out "
                "--path-column."
            )
        if manifest.is_file():
            return load_manifest(manifest, path_column)
    if isinstance(source, str) and (named := _load_named(source)):
        return named
    path = Path(source).expanduser()
    if path.is_dir():
        return _load_from_folder(path)
    if path.is_file():
        return _load_from_file(path)
    beside = [str(path.parent / other.name) for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise ImagesError(f"There is nothing at {source}.{nearest(str(path), [*beside, 'demo'])} {_ACCEPTED}")


def _load_named(source: str) -> ImageSet | None:
    """Images that are neither a single file nor a folder on this machine."""
    if source == "demo":
        return load_demo()
    if is_address(source):
        return load_remote(source)
    if source.startswith("hf:"):
        name, _, split = source.removeprefix("hf:").partition(":")
        return load_hub_dataset(name, split or None)
    path = Path(source).expanduser()
    shards = sorted(map(str, path.parent.glob(path.name))) if "*" in path.name else []
    return sharded(LocalFileSystem(), shards, path.name) if shards else None


def _load_from_folder(folder: Path) -> ImageSet:
    if is_saved_dataset(folder):
        return load_saved_dataset(folder)
    if idx_sets := find_idx(folder):
        return load_idx_folder(folder, idx_sets)
    if published := load_published(folder):
        return published
    files = sorted(str(path) for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sharded(LocalFileSystem(), files, folder.resolve().name) or load_folder(folder)


def _load_from_file(path: Path) -> ImageSet:
    if found := sharded(LocalFileSystem(), [str(path)], path.name):
        return found
    if is_manifest(path):
        return load_manifest(path)
    if is_idx(path):
        return load_idx(path)
    if is_image_name(path.name) or is_image_file(path):
        return load_file(path)
    raise ImagesError(f"{path} is not a kind of file that images can be loaded from. {_ACCEPTED}")
