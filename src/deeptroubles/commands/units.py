"""`deeptroubles units`: what every unit of some layers responds to."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from deeptroubles.commands.console import out
from deeptroubles.commands.engine import EngineName
from deeptroubles.commands.images import FORMS, PathColumn, ValueRange
from deeptroubles.commands.model import Load, origin_of, with_model
from deeptroubles.run.origin import write_origin
from deeptroubles.workflows.choices import Around


@with_model()
def units(
    *,
    load: Load,
    images: Annotated[str, typer.Option(help=f"The images: {FORMS}.")],
    out_folder: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for the run; the folder of an audit of the same model and images works too."
        ),
    ],
    path_column: PathColumn = None,
    value_range: ValueRange = None,
    layers: Annotated[str | None, typer.Option(help="Layers, comma-separated. Default: all that have weights.")] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="How many of the strongest, middling and weakest images to keep for each unit.")
    ] = 9,
    around: Annotated[
        Around,
        typer.Option(
            help="Crop these images to the receptive field, or around the position with the strongest response."
        ),
    ] = "receptive_field",
    draw: Annotated[
        int, typer.Option(min=0, help="For how many units of each layer to make pictures, by activation maximization.")
    ] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Optimization steps for each of these pictures.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="How many images are processed at once.")] = 32,
    engine: EngineName = "local",
) -> None:
    """Find what every unit responds to: strongest images, statistics, words, and pictures made for it."""
    classifier = load()
    from deeptroubles.engine import engine_named
    from deeptroubles.images import load_images
    from deeptroubles.workflows.units import analyze_units

    found = load_images(images, path_column=path_column, value_range=value_range)
    chosen = [name.strip() for name in layers.split(",")] if layers else None
    analyze_units(
        classifier,
        found,
        out_folder,
        chosen,
        samples=samples,
        around=around,
        draw=draw,
        steps=steps,
        seed=seed,
        batch_size=batch_size,
        engine=engine_named(engine),
    )
    read = {"path_column": path_column, "value_range": value_range}
    write_origin(out_folder, origin_of(load, images, seed, read))
    out.print(f"To look at them: deeptroubles serve {shlex.quote(str(out_folder))}", markup=False, soft_wrap=True)
