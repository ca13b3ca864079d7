"""The commands that list and explain: `checks`, `methods`, `models`, `help`."""

from __future__ import annotations

from typing import Annotated

import typer

from deeptroubles.checks.registry import check_docstrings, check_files
from deeptroubles.commands.console import doing, out, print_docstring, print_rows
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


def help_command(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A command, a check or a method. Default: all commands.")] = None,
) -> None:
    """Explain a command, a check or a method: what it does, and how to read it."""
    program = context.parent
    if program is None or name is None:
        _say((program or context).get_help())
        return
    commands = getattr(program.command, "commands", {})
    if name in commands:
        _say(typer.Context(commands[name], info_name=name, parent=program).get_help())
    text = _docstring(name)
    if text:
        print_docstring(text)
    elif name not in commands:
        known = {*commands, *METHODS, *check_docstrings()}
        raise UsageError(f"There is no command, check or method {name!r}.{nearest(name, known)}")


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _docstring(name: str) -> str:
    """What a method or a check says about itself; '' where there is none of this name."""
    if name in METHODS:
        return METHODS[name].docstring
    files = dict(check_files())
    if name in files:  # without importing it
        return docstring(files[name]) or ""
    return check_docstrings().get(name, "")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
