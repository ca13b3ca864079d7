"""The option that says where the work on images is done: the same for every command that has much of it."""

from __future__ import annotations

from typing import Annotated

import typer

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray|ray://HOST:PORT",
        help="Where the work is done: in this process, on a Ray cluster of this machine, or on one that runs.",
    ),
]
