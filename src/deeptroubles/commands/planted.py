"""`deeptroubles planted`: a network with a known trouble, to see what an audit says of it."""

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
        float, typer.Option(min=0, max=1, help="With which probability the cue agrees with the class.")
    ] = STRENGTH,
    honest: Annotated[
        bool, typer.Option("--honest", help="The honest twin: the cue is there as often, and says nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of images and weights.")] = 0,
) -> None:
    """Make images and train a network on them that has a known trouble, to try an audit on."""
    with doing("Loading PyTorch"):
        from deeptroubles.planted.cues import CUES
        from deeptroubles.planted.folder import audit_command, write_planted
        from deeptroubles.planted.horse import plant_horse, tell_horse
        from deeptroubles.planted.planting import plant, tell

    if name != "horse" and name not in CUES:
        names = ["horse", *CUES]
        raise UsageError(f"Nothing is planted as {name!r}; choose {', '.join(names)}.{nearest(name, names)}")
    strength = 0.0 if honest else strength
    made = plant_horse(strength, seed) if name == "horse" else plant(name, strength, "residual", seed)
    story = tell_horse(made, seed) if name == "horse" else tell(made)
    write_planted(made, out_folder, story)
    out.print(escape(story), highlight=False)
    out.print(
        f"\nImages, masks and the network: {escape(str(out_folder))}\nTo audit it:", highlight=False, soft_wrap=True
    )
    out.print(f"\n    {escape(audit_command(out_folder))}", highlight=False, soft_wrap=True)
