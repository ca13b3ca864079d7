"""Where commands print: results to the standard output, everything else to the standard error."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out, err = Console(), Console(stderr=True)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what a command is doing, before anything that takes long, such as importing torch."""
    if err.is_terminal:
        with err.status(what):
            yield
    else:
        err.print(what, markup=False, highlight=False)
        yield


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["deeptroubles", *sys.argv[1:]])


def print_rows(first: str, second: str, rows: list[tuple[str, str]]) -> None:
    """Print a table of names and what they are."""
    table = Table(first, second, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)
