"""The option that says where the work on images is done: the same for every command that has much of it."""

from __future__ import annotations

from typing import Annotated

import typer

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray|ray://HOST:PORT",
        help="Where the work runs: in this process, on a Ray cluster started on this machine, or on a running cluster.",
    ),
]
