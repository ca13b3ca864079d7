"""`deeptroubles stylize`: a set of images, each with the texture of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.commands.console import doing, out
from deeptroubles.commands.model import load_model
from deeptroubles.workflows.choices import StylizeMethod


def stylize(
    *,
    images: Annotated[str, typer.Option(help="Images that give the shapes, as for audit.")],
    styles: Annotated[
        str, typer.Option(help="Images that give the textures: paintings, patterns, or images of other classes.")
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the images.")],
    method: Annotated[
        StylizeMethod,
        typer.Option(
            help="amplitude is quick, gatys is the original style transfer (slow), silhouette and surface need masks."
        ),
    ] = "amplitude",
    network: Annotated[
        str, typer.Option(help="For gatys: a network to transfer styles with; not the one you audit.")
    ] = "efficientnet-lite0",
    size: Annotated[str | None, typer.Option(help="For gatys: size of the results. Default: the network's.")] = None,
    style_weight: Annotated[float, typer.Option(min=0, help="For gatys: how much the style counts.")] = 20.0,
    steps: Annotated[int, typer.Option(min=1, help="For gatys: steps of the optimization.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Which style each image gets.")] = 0,
) -> None:
    """Give every image the texture of another one, to train against texture bias or as images for --conflict."""
    with doing("Loading the images"):
        from deeptroubles.images import load_images
        from deeptroubles.workflows.stylize import stylize_images

    made = stylize_images(
        load_images(images),
        load_images(styles),
        out_folder,
        method,
        network=load_model(network, size=size) if method == "gatys" else None,
        style_weight=style_weight,
        steps=steps,
        seed=seed,
    )
    left_out = f" ({made.left_out} left out: they cannot be read, or have no mask)" if made.left_out else ""
    out.print(f"{len(made.files)} images{left_out}: {escape(str(out_folder))}", highlight=False, soft_wrap=True)
