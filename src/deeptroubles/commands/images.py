"""The options that say how images are read: the same for every command that takes a set of them."""

from __future__ import annotations

from typing import Annotated

import typer

PathColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The column of a manifest with the files. Default: `path`.")
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW:HIGH",
        help="Values that are black and white in images with more than 8 bits. Default: found in all of them.",
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
