"""`deeptroubles planted`: a network with a known problem, to try an audit on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.commands.console import doing, out
from deeptroubles.errors import UsageError, nearest
from deeptroubles.planted import STRENGTH

SHARE = 0.5


def planted(
    name: Annotated[
        str, typer.Argument(help="`horse`, `traffic` (images only), or a cue, such as tag, frame or background.")
    ],
    *,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the images and the network.")],
    strength: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=f"Probability that the cue agrees with the class; default {STRENGTH:g}. With --photographs, the share "
            f"of horses with the tag; default {SHARE:g}.",
        ),
    ] = None,
    honest: Annotated[
        bool, typer.Option("--honest", help="The honest twin: the cue is just as frequent, but uninformative.")
    ] = False,
    photographs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="For horse: put the tag on photographs, class folders of which one is named horse."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of images and weights.")] = 0,
) -> None:
    """Make a network with a known problem, or images to train one on, to try an audit on."""
    with doing("Loading PyTorch"):
        from deeptroubles.planted.cues import CUES
        from deeptroubles.planted.folder import audit_command, write_planted
        from deeptroubles.planted.horse import describe_horse, plant_horse
        from deeptroubles.planted.photographs import describe_on_photographs, plant_on_photographs
        from deeptroubles.planted.planting import describe, plant

    names = ["horse", *CUES, "traffic"]
    if name not in names:
        raise UsageError(f"There is no cue {name!r} to plant; choose {', '.join(names)}.{nearest(name, names)}")
    if photographs and name != "horse":
        raise UsageError(f"--photographs is for `deeptroubles planted horse`; leave it off for {name}.")
    drawn = 0.0 if honest else STRENGTH if strength is None else strength
    if name == "traffic":
        _write_traffic(drawn, seed, out_folder)
        return
    if photographs:
        share = SHARE if strength is None else strength
        made, shares = plant_on_photographs(photographs, share, seed, honest=honest)
        description = describe_on_photographs(made, shares, honest=honest)
    else:
        made = plant_horse(drawn, seed) if name == "horse" else plant(name, drawn, "residual", seed)
        description = describe_horse(made, seed) if name == "horse" else describe(made)
    write_planted(made, out_folder, name, description)
    what = "Images and the network" if photographs else "Images, masks and the network"
    out.print(escape(description), highlight=False)
    out.print(f"\n{what}: {escape(str(out_folder))}\nTo audit it:", highlight=False, soft_wrap=True)
    out.print(f"\n    {escape(audit_command(out_folder, name))}", highlight=False, soft_wrap=True)


def _write_traffic(strength: float, seed: int, folder: Path) -> None:
    """Draw road scenes, write them, and say how to train a network on them."""
    from deeptroubles.planted.folder import train_command, write_images
    from deeptroubles.planted.traffic import COUNT, describe_traffic, draw_traffic

    traffic = draw_traffic(COUNT, strength, seed)
    write_images(traffic.image_set(), folder)
    out.print(escape(describe_traffic(traffic, strength)), highlight=False)
    out.print(
        f"\nImages and masks: {escape(str(folder))}\nTo train a network on them:", highlight=False, soft_wrap=True
    )
    out.print(f"\n    {escape(train_command(folder))}", highlight=False, soft_wrap=True)
