"""The commands that list and explain: `checks`, `methods`, `models`, `help`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from deeptroubles.checks.registry import check_docstrings, check_files
from deeptroubles.commands.console import doing, out, print_rows
from deeptroubles.errors import UsageError, nearest
from deeptroubles.listing import docstring
from deeptroubles.methods.catalogue import METHODS


def checks() -> None:
    """List the checks."""
    print_rows("check", "question", [(name, _first_line(text)) for name, text in check_docstrings().items()])


def methods() -> None:
    """List the methods."""
    print_rows("method", "what it does", [(name, f"{m.family}: {m.summary}") for name, m in METHODS.items()])


def models() -> None:
    """List where models can come from."""
    with doing("Loading PyTorch"):
        from deeptroubles.models import SOURCES

    code = {True: " Runs code that comes with the model.", False: ""}
    print_rows("model", "what it is", [(s.form, f"{s.what}.{code[s.runs_code]}") for s in SOURCES])


def help_command(name: Annotated[str, typer.Argument(help="A check or a method.")]) -> None:
    """Explain a check or a method: what it does, and how to read it."""
    checks = dict(check_files())
    if name in METHODS:
        text = METHODS[name].docstring
    elif name in checks:
        text = docstring(checks[name]) or ""
    else:
        known = {**METHODS, **check_docstrings()}
        if name not in known:
            raise UsageError(f"There is no check or method {name!r}.{nearest(name, known)}")
        text = check_docstrings()[name]
    out.print(escape(text), highlight=False)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
