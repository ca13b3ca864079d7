"""Where commands print: results to the standard output, everything else to the standard error."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

out, err = Console(), Console(stderr=True)
_READABLE = 24
"""The narrowest column of running text."""
_INDENT = 4
_WIDE = 1000
_OF_ENTRIES = {"Args:", "Attributes:", "Raises:"}
"""The sections of a docstring whose lines are entries."""


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
    """Print a table of names and what they are; names stay whole, and on a narrow terminal they get a line each."""
    if out.width < max(len(name) for name, _ in rows) + _READABLE:
        for name, text in rows:
            _say(f"{name}\n{_wrapped(text, 2, 2)}")
        return
    table = Table(Column(first, no_wrap=True), second, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def print_whole(table: Table) -> None:
    """Print a table whose cells are whole, whatever the width of the terminal."""
    Console(file=out.file, width=_WIDE, force_terminal=out.is_terminal, no_color=out.no_color).print(table)


def print_docstring(text: str) -> None:
    """Print a docstring with its paragraphs, entries and list items wrapped to the terminal."""
    for indent, hanging, paragraph in _paragraphs(text):
        _say(_wrapped(paragraph, indent, hanging))


def _paragraphs(text: str) -> Iterator[tuple[int, int, str]]:
    """The blocks of a docstring that are wrapped as one, with the indentation of their first and further lines.

    Between paragraphs there is an empty one.
    """
    held: list[str] = []
    indent, of_entries = 0, False
    for line in [*text.splitlines(), ""]:
        words, here = line.strip(), len(line) - len(line.lstrip())
        heading = here == 0 and words.endswith(":")
        starts = not words or heading or words.startswith("- ") or (of_entries and here == _INDENT)
        if starts and held:
            further = 2 if held[0].startswith("- ") else _INDENT if of_entries else 0
            yield indent, indent + further, " ".join(held)
            held = []
        if heading:
            of_entries = words in _OF_ENTRIES
        if heading or not words:
            yield 0, 0, words
        else:
            indent = indent if held else here
            held.append(words)


def _wrapped(text: str, indent: int, hanging: int) -> str:
    """Text in lines of the terminal's width, the first indented by `indent` and all others by `hanging`."""
    return textwrap.fill(
        text,
        max(out.width, _READABLE),
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
