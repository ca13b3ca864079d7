"""The options that say how images are read: the same for every command that takes a set of them."""

from __future__ import annotations

from typing import Annotated

import typer

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
