"""`deeptroubles visualize`: pictures of what units respond to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.commands.console import out
from deeptroubles.commands.engine import EngineName
from deeptroubles.commands.model import Load, with_model
from deeptroubles.workflows.choices import Technique


@with_model()
def visualize(
    *,
    load: Load,
    layer: Annotated[
        str, typer.Argument(metavar="LAYER[:UNITS]", help="A layer, or `logits`; units as 3,5-9, or class names.")
    ],
    technique: Annotated[
        Technique,
        typer.Option(
            help="maximize, dream, caricature and atlas optimize pictures; maps shows activations, filters shows "
            "weights."
        ),
    ] = "maximize",
    image: Annotated[Path | None, typer.Option(help="The image, for dream, caricature and maps.")] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="For maximize: images whose activations are compared with those of the pictures. For atlas: the "
            "images."
        ),
    ] = None,
    parameterization: Annotated[
        str, typer.Option(help="How pictures are parameterized: fourier, pixel, or maco (needs --images).")
    ] = "fourier",
    steps: Annotated[int, typer.Option(min=1, help="Optimization steps.")] = 256,
    negative: Annotated[bool, typer.Option("--negative", help="Draw what the unit responds to least.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    engine: EngineName = "local",
    out_file: Annotated[
        Path | None, typer.Option("--out", help="PNG to write. Default: LAYER.TECHNIQUE.png here.")
    ] = None,
) -> None:
    """Draw what units of a layer respond to."""
    classifier = load()
    from deeptroubles.engine import engine_named
    from deeptroubles.images import load_images
    from deeptroubles.report.figure import draw_pictures
    from deeptroubles.workflows.visualize import visualize_units

    seen = load_images(images) if images else None
    picture = load_images(image)[0] if image else None
    found = visualize_units(
        classifier,
        layer,
        technique,
        picture=picture,
        images=seen,
        parameterization=parameterization,
        steps=steps,
        negative=negative,
        seed=seed,
        engine=engine_named(engine),
    )
    path = out_file or Path(f"{found.layer.replace(':', '_').replace('/', '_')}.{technique}.png")
    draw_pictures(found.pictures, found.captions, found.title, path)
    out.print(f"Picture: {escape(str(path))}", soft_wrap=True)
