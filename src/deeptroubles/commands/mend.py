"""`deeptroubles mend`: train a model against a problem that an audit found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from deeptroubles.commands.console import doing, out
from deeptroubles.commands.images import Label, PathColumn
from deeptroubles.commands.model import Device, available_device
from deeptroubles.commands.train import print_trained
from deeptroubles.workflows.choices import REMEDIES


def mend(
    model: Annotated[str, typer.Argument(help="The model, such as a folder that `train` made.")],
    *,
    by: Annotated[
        str, typer.Option(metavar="REMEDY", help=" ".join(f"{name}: {what}." for name, what in REMEDIES.items()))
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the mended model.")],
    images: Annotated[
        str | None, typer.Option(help="Images with labels to train on. Default: those that the model was trained on.")
    ] = None,
    cue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CUE",
            help="For cue: the cue, as for audit; run:FOLDER takes the cues that an audit found. Repeatable.",
        ),
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="For balanced: the column of the groups.")] = None,
    epsilon: Annotated[
        float,
        typer.Option(
            min=0, show_default="8/255", help="For adversarial: the largest change of a pixel, for pixels in [0, 1]."
        ),
    ] = 8 / 255,
    depth: Annotated[
        Literal["head", "last", "all"] | None,
        typer.Option("--layers", help="Train the last layer, the last stage, or all layers. Default: all."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the images. Default: 12.")] = None,
    label: Label = None,
    path_column: PathColumn = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Device = "",
) -> None:
    """Train a model further, against a problem that an audit found."""
    with doing("Loading PyTorch"):
        from deeptroubles.images import load_images
        from deeptroubles.workflows.mend import mend as run_mending

        chosen = available_device(device)

    found = run_mending(
        model,
        out_folder,
        by,
        load_images(images, label=label, path_column=path_column) if images else None,
        cue=cue or (),
        group=group,
        epsilon=epsilon,
        depth=depth,
        epochs=epochs,
        seed=seed,
        device=chosen,
    )
    print_trained(found, out_folder)
    name = escape(out_folder.resolve().name)
    out.print(f"    deeptroubles compare runs/BEFORE runs/{name}", highlight=False, soft_wrap=True)
