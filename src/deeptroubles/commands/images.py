"""The options that say how images are read: the same for every command that takes a set of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deeptroubles.images import ImageSet

FORMS = "a folder (with or without class folders), a manifest (CSV or Parquet), IDX files, hf:NAME or demo"
"""What `--images` can be."""
Label = Annotated[str | None, typer.Option(help="The column with the labels. Default: `label`.")]
PathColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The column of a manifest with the image files. Default: `path`.")
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW:HIGH",
        help="Stored values to show as black and white, for images with more than 8 bits. Default: one range for all "
        "images.",
    ),
]
Masks = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|MODEL",
        help="Object masks: a folder that mirrors the images (nonzero is the object), or a segmentation model "
        "(FILE.pt2, FILE.ts, package.module:function). Default: a manifest's `mask`.",
    ),
]


def images_with_masks(images: str, read: Mapping[str, str | None]) -> ImageSet:
    """The images of a command, read with its options; `masks` is a folder or a segmentation model."""
    from deeptroubles.images import load_images
    from deeptroubles.models import is_module
    from deeptroubles.workflows.segment import segment_objects

    options: dict[str, Any] = dict(read)
    masks = options.pop("masks", None)
    if masks and is_module(masks):
        return segment_objects(load_images(images, **options), masks)
    return load_images(images, masks=masks, **options)
