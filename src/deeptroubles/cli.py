"""The command line: arguments in, exit code out.

Exit codes: 0 no problem found, 1 problem found (with --fail-on), 2 usage error, 3 internal error, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
import traceback
import warnings
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.markup import escape

from deeptroubles.commands.audit import audit_command
from deeptroubles.commands.compare import compare
from deeptroubles.commands.console import err
from deeptroubles.commands.explain import explain
from deeptroubles.commands.export import export
from deeptroubles.commands.layers import layers
from deeptroubles.commands.lists import checks, help_command, methods, models
from deeptroubles.commands.mend import mend
from deeptroubles.commands.mitigate import mitigate
from deeptroubles.commands.planted import planted
from deeptroubles.commands.serve import serve
from deeptroubles.commands.stylize import stylize
from deeptroubles.commands.tour import tour
from deeptroubles.commands.train import train
from deeptroubles.commands.units import units
from deeptroubles.commands.visualize import visualize
from deeptroubles.errors import DeeptroublesError
from deeptroubles.memory import keep_freed_memory
from deeptroubles.progress import LogLines, TerminalBars, reporting_to
from deeptroubles.threads import share_the_cores

app = typer.Typer(
    name="deeptroubles",
    help="Is my image classifier right for the right reasons?",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("audit")(audit_command)
_COMMANDS = (
    serve,
    export,
    train,
    mend,
    explain,
    compare,
    layers,
    units,
    visualize,
    mitigate,
    stylize,
    planted,
    tour,
    checks,
    methods,
    models,
)
for _command in _COMMANDS:
    app.command()(_command)
app.command("help")(help_command)

_INTERRUPTED = 130


def _show_version(asked: bool) -> None:  # noqa: FBT001 (the command-line library calls it so)
    if asked:
        sys.stdout.write(f"deeptroubles {metadata.version('deeptroubles')}\n")
        raise typer.Exit


_OVERVIEW = """\
deeptroubles: is my image classifier right for the right reasons?

Three ways to ask, for a model of yours (such as my_file:build, timm:resnet50 or model.onnx) and a folder of images:

  command   deeptroubles audit MODEL --images photos/ --out runs/first
  page      deeptroubles serve MODEL --images photos/
  Python    import deeptroubles as dt
            dt.audit(dt.load_classifier(MODEL), dt.load_images("photos/"), out="runs/first")

No model at hand: `deeptroubles tour --quick` shows what can be wrong with networks, picture by picture, and
`deeptroubles planted horse --out horse/` makes a network with a known problem, and says how to audit it.
All commands: `deeptroubles --help`. Forms of models: `deeptroubles models`. One in detail: `deeptroubles help audit`.
"""


@app.callback()
def _program(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of the program itself; its help is that of `app`."""
    if context.invoked_subcommand is None:
        sys.stdout.write(_OVERVIEW)


def main() -> None:
    """Run the command line and leave with its exit code."""
    keep_freed_memory()
    share_the_cores()
    warnings.showwarning = _show_note
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal and pipe can show every letter and mark
    try:
        with reporting_to(TerminalBars(err) if err.is_terminal else LogLines(err)):
            code = app(prog_name="deeptroubles", standalone_mode=False)
    except DeeptroublesError as error:
        err.print(f"Error: {escape(str(error))}", style="red", highlight=False, soft_wrap=True)
        code = 2
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last resort: say that it is our fault, and exit with 3)
        code = _usage_or_internal(error)
    if code == _INTERRUPTED:  # some versions of the command-line library give the code instead of the exception
        err.print("Interrupted. Run the same command again to resume.")
    sys.exit(code if isinstance(code, int) else 0)


def _usage_or_internal(error: Exception) -> int:
    show: Any = getattr(error, "show", None)  # a usage error of the command-line library
    if show is not None:
        show()
        return 2
    traceback.print_exception(error)
    err.print("This is an internal error of deeptroubles; please report it with the lines above.", style="red")
    return 3


def _show_note(message: Warning | str, *_where: Any, **_more: Any) -> None:
    err.print(f"Note: {escape(' '.join(str(message).split()))}", style="yellow", highlight=False, soft_wrap=True)
