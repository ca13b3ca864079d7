"""`deeptroubles export`: the page of `deeptroubles serve` as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.commands.console import err, out
from deeptroubles.commands.images import Label, Masks, PathColumn, ValueRange
from deeptroubles.commands.model import Load, with_model
from deeptroubles.commands.serve import opened_bench


@with_model()
def export(
    *,
    load: Load,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the files; a new or an empty one.")],
    images: Annotated[str | None, typer.Option(help="The images, as for audit; not needed for a run folder.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder, where MODEL is a model.")] = None,
    label: Label = None,
    path_column: PathColumn = None,
    value_range: ValueRange = None,
    masks: Masks = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Write the page of `deeptroubles serve` as static files, which show what a run holds and compute nothing.

    MODEL is the folder of a run, or a model (with --images and --run).
    """
    read = {"label": label, "path_column": path_column, "value_range": value_range, "masks": masks}
    with opened_bench(load, images, run, read, seed=seed) as bench:
        from deeptroubles.serving.export import export_page

        for problem in export_page(bench, out_folder):
            err.print(f"Left out: {problem}", markup=False, highlight=False)
    out.print(escape(str(out_folder / "index.html")), soft_wrap=True)
