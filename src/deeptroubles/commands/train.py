"""`deeptroubles train`: train a classifier on images with labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from deeptroubles.checks.wording import percent, plural
from deeptroubles.commands.console import doing, err, out
from deeptroubles.commands.images import FORMS, Label, PathColumn, ValueRange
from deeptroubles.commands.model import Device, available_device

if TYPE_CHECKING:
    from deeptroubles.training.model_card import Trained


def train(
    *,
    images: Annotated[str, typer.Option(help=f"Labelled images: {FORMS}.")],
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for the model; it can be given wherever a model is.")
    ],
    base: Annotated[
        str,
        typer.Option("--from", metavar="MODEL", help="The model to start from, or untrained:NAME for a small network."),
    ] = "efficientnet-lite0",
    depth: Annotated[
        Literal["head", "last", "all"] | None,
        typer.Option(
            "--layers",
            help="Train the last layer, the last stage, or all layers. Default: the last layer; all for "
            "untrained:NAME.",
        ),
    ] = None,
    head: Annotated[
        Literal["linear", "gap"],
        typer.Option(help="The new head; gap is global average pooling and one linear layer, so that CAM is exact."),
    ] = "linear",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the images. Default: 12; 30 for untrained:NAME.")
    ] = None,
    augment: Annotated[
        Literal["crop,flip", "crop", "none"],
        typer.Option(
            help="Random changes of the training images. Use crop where left and right differ, as in letters, digits "
            "or X-rays."
        ),
    ] = "crop,flip",
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Give every class the same weight, however many images it has.")
    ] = False,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Images with the same value, such as a patient's, are all trained on or all held out.",
        ),
    ] = None,
    label: Label = None,
    path_column: PathColumn = None,
    value_range: ValueRange = None,
    size: Annotated[int | None, typer.Option(min=16, help="Input size for untrained:NAME. Default: 32.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Device = "",
) -> None:
    """Train a classifier: a new last layer, fine-tuning, or a small network from scratch."""
    with doing("Loading PyTorch"):
        from deeptroubles.images import load_images
        from deeptroubles.workflows.train import train as run_training

        chosen = available_device(device)

    found = run_training(
        load_images(images, label=label, path_column=path_column, value_range=value_range),
        out_folder,
        base,
        depth=depth,
        head=head,
        epochs=epochs,
        augmentation=augment,
        balanced=balanced,
        group=group,
        size=size,
        seed=seed,
        device=chosen,
    )
    print_trained(found, out_folder)


def print_trained(found: Trained, folder: Path) -> None:
    """Print what training came to, and the command that asks whether the model is right for the right reasons."""
    for note in found.notes:
        err.print(note, markup=False, highlight=False)
    right, count = found.accuracy, plural(len(found.right), "held-out image")
    interval = f"95% CI {percent(right.low)} to {percent(right.high)}"
    out.print(f"Accuracy on {count}: {percent(right.value)} ({interval}).", highlight=False)
    out.print(f"\nThe model: {escape(str(folder))}\nTo audit it:", highlight=False, soft_wrap=True)
    out.print(f"\n    deeptroubles audit {escape(str(folder))} --out runs/{escape(folder.resolve().name)}")
