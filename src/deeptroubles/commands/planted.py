"""`deeptroubles planted`: a network with a known problem, to try an audit on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.commands.console import doing, out
from deeptroubles.errors import UsageError, nearest

STRENGTH = 0.98


def planted(
    name: Annotated[str, typer.Argument(help="`horse`, or a cue, such as tag, frame or background.")],
    *,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the images and the network.")],
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="Probability that the cue agrees with the class.")
    ] = STRENGTH,
    honest: Annotated[
        bool, typer.Option("--honest", help="The honest twin: the cue is just as frequent, but uninformative.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of images and weights.")] = 0,
) -> None:
    """Draw images and train a network with a known problem on them, to try an audit on."""
    with doing("Loading PyTorch"):
        from deeptroubles.planted.cues import CUES
        from deeptroubles.planted.folder import audit_command, write_planted
        from deeptroubles.planted.horse import describe_horse, plant_horse
        from deeptroubles.planted.planting import describe, plant

    if name != "horse" and name not in CUES:
        names = ["horse", *CUES]
        raise UsageError(f"There is no cue {name!r} to plant; choose {', '.join(names)}.{nearest(name, names)}")
    strength = 0.0 if honest else strength
    made = plant_horse(strength, seed) if name == "horse" else plant(name, strength, "residual", seed)
    description = describe_horse(made, seed) if name == "horse" else describe(made)
    write_planted(made, out_folder, description)
    out.print(escape(description), highlight=False)
    out.print(
        f"\nImages, masks and the network: {escape(str(out_folder))}\nTo audit it:", highlight=False, soft_wrap=True
    )
    out.print(f"\n    {escape(audit_command(out_folder))}", highlight=False, soft_wrap=True)
