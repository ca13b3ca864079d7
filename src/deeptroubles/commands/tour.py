"""`deeptroubles tour`: every idea of the lecture on one page, made on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.commands.console import doing, out


def tour(
    *,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the page.")] = Path("tour"),
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One stop; can be repeated. Default: all.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="All in about four minutes instead of ten.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Reproduce the pictures of the lecture and write them to one page, without any data of your own.

    Nothing is downloaded. The page is written after every stop, and the same command resumes where it was interrupted.
    """
    with doing("Loading PyTorch"):
        from deeptroubles.tour.walk import PAGE, walk

    made = walk(out_folder, only or [], quick=quick, seed=seed)
    numbers = [number for stop in made.stops if stop.shown for number in stop.shown.numbers]
    expected = sum(number.as_expected for number in numbers)
    out.print(
        f"{sum(stop.status == 'shown' for stop in made.stops)} of {len(made.stops)} stops; {expected} of "
        f"{len(numbers)} numbers as expected.",
        highlight=False,
    )
    for stop in made.stops:
        if stop.status == "failed":
            out.print(
                f"{stop.name} failed: {stop.problem} (the same command tries it again)",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    out.print(f"Page: {escape(str(out_folder / PAGE))}", soft_wrap=True, highlight=False)
    if any(stop.status == "failed" for stop in made.stops):
        raise typer.Exit(1)
