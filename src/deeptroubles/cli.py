"""The command line: arguments in, exit code out.

Exit codes: 0 clean, 1 trouble found (with --fail-on), 2 usage, 3 a bug of ours, 130 interrupted.
"""

from __future__ import annotations

import inspect
import io
import shlex
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from deeptroubles.audit import audit as run_audit
from deeptroubles.checks import Check, all_checks
from deeptroubles.errors import DeeptroublesError, UsageError, nearest
from deeptroubles.explain import MethodComparison, compare_methods, explain_picture, find_method
from deeptroubles.findings import Audit, Verdict, audit_to_json
from deeptroubles.images import load_images
from deeptroubles.methods import METHODS
from deeptroubles.models import SOURCES, load_class_names, load_classifier
from deeptroubles.report import write_report
from deeptroubles.report.figure import draw_heatmap, draw_sheet

if TYPE_CHECKING:
    from deeptroubles.classifier import Classifier
    from deeptroubles.models import Overrides

app = typer.Typer(
    name="deeptroubles",
    help="Is my image classifier right for the right reasons?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out, err = Console(), Console(stderr=True)

_STYLE = {
    Verdict.FAIL: ("✖", "bold red"),
    Verdict.ERROR: ("!", "bold magenta"),
    Verdict.WARN: ("▲", "yellow"),
    Verdict.INCONCLUSIVE: ("?", "cyan"),
    Verdict.PASS: ("✔", "green"),
    Verdict.SKIPPED: ("–", "dim"),
}
_INTERRUPTED = 130
_TROUBLE = {"fail": {Verdict.FAIL, Verdict.ERROR}, "warn": {Verdict.FAIL, Verdict.ERROR, Verdict.WARN}}

Model = Annotated[str, typer.Argument(help="Where the model comes from; `deeptroubles models` lists the forms.")]
Size = Annotated[str | None, typer.Option(help="Input size: one number, or HEIGHTxWIDTH.")]
Mean = Annotated[str | None, typer.Option(help="Mean per channel, comma-separated, for pixels in [0, 1].")]
Std = Annotated[str | None, typer.Option(help="Standard deviation per channel, comma-separated.")]
Classes = Annotated[Path | None, typer.Option(help="Class names: a text file (one a line) or JSON.")]
Channels = Annotated[int | None, typer.Option(min=1, help="1 for grey, 3 for RGB.")]
Output = Annotated[str | None, typer.Option(help="Which entry of the model's answer holds the logits.")]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="The model ends in a softmax.")]
Weights = Annotated[Path | None, typer.Option(help="A local weights file, for timm: and torchvision:.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ... Default: the GPU when there is one.")]
BatchSize = Annotated[int, typer.Option(min=1, help="How many images are shown at once.")]


@app.command("audit")
def audit_command(
    model: Model,
    images: Annotated[str, typer.Option(help="Class folders, a flat folder, a manifest, IDX, hf:NAME or demo.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the run.")],
    checks: Annotated[str | None, typer.Option(help="Checks or families, comma-separated. Default: all.")] = None,
    fail_on: Annotated[
        Literal["warn", "fail"] | None, typer.Option(help="Exit with 1 on this verdict or worse.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = None,
    channels: Channels = None,
    output: Output = None,
    probabilities: Probabilities = False,
    weights: Weights = None,
    device: Device = "",
    batch_size: BatchSize = 32,
) -> None:
    """Audit a classifier on images and write a report."""
    classifier = _load(model, device, size=_size(size), mean=_numbers(mean), std=_numbers(std), channels=channels,
                       class_names=_class_names(classes), output=_entry(output), weights=weights,
                       probabilities=probabilities or None)  # fmt: skip
    result = run_audit(
        classifier,
        load_images(images),
        out_folder,
        checks=[name.strip() for name in checks.split(",")] if checks else None,
        seed=seed,
        batch_size=batch_size,
        command=shlex.join(["deeptroubles", *sys.argv[1:]]),
        watch=_say_check if err.is_terminal else None,
    )
    report = out_folder / "report.html"
    write_report(result, report)
    if as_json:
        sys.stdout.write(audit_to_json(result) + "\n")
    else:
        _print_findings(result)
        out.print(f"\nReport: {escape(str(report))}", soft_wrap=True)
    if fail_on and any(f.verdict in _TROUBLE[fail_on] for f in result.findings):
        raise typer.Exit(1)


@app.command()
def explain(
    model: Model,
    image: Annotated[Path, typer.Argument(help="A picture; with --compare, any images.")],
    method: Annotated[str, typer.Option(help="A method, or all; `deeptroubles methods` lists them.")] = "grad_cam",
    target: Annotated[str | None, typer.Option(help="Class name or index. Default: the most likely class.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to look at, for methods that look at one.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Rank methods by faithfulness on these images.")] = False,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="PNG to write. Default: IMAGE.METHOD.png here.")
    ] = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = None,
    channels: Channels = None,
    output: Output = None,
    probabilities: Probabilities = False,
    weights: Weights = None,
    device: Device = "",
) -> None:
    """Draw which parts of one image an answer rests on, and print the most likely classes."""
    methods = list(METHODS) if method == "all" or compare else [find_method(method)]
    images = load_images(image)
    picture = None if compare else images[0]  # an unreadable one is told before the model is loaded
    classifier = _load(model, device, size=_size(size), mean=_numbers(mean), std=_numbers(std), channels=channels,
                       class_names=_class_names(classes), output=_entry(output), weights=weights,
                       probabilities=probabilities or None)  # fmt: skip
    if picture is None:
        _print_comparison(compare_methods(classifier, images, methods))
        return
    settings = {"layer": layer} if layer else {}
    found = explain_picture(classifier, picture, methods, target, **settings)
    path = out_file or Path(f"{image.stem}.{method}.png")
    if method == "all":
        draw_sheet(found.picture, found.maps, found.target, path)
    else:
        draw_heatmap(found.picture, found.maps[method], f"{found.target} ({method})", "logits", path)
    for name, probability in found.most_likely:
        out.print(f"{probability:7.1%}  {escape(name)}", highlight=False)
    for name, why in found.impossible.items():
        out.print(f"{name} is left out: {escape(why)}", style="yellow", highlight=False)
    out.print(f"\nPicture: {escape(str(path))}", soft_wrap=True)


@app.command()
def checks() -> None:
    """List the checks."""
    _print_rows("check", "question", [(c.name, c.guide.question) for c in all_checks().values()])


@app.command()
def methods() -> None:
    """List the methods that `explain` draws."""
    _print_rows("method", "what it shows", [(n, (inspect.getdoc(f) or "").split("\n")[0]) for n, f in METHODS.items()])


@app.command()
def models() -> None:
    """List where models can come from."""
    code = {True: " Runs code that comes with the model.", False: ""}
    _print_rows("model", "what it is", [(s.form, f"{s.what}.{code[s.runs_code]}") for s in SOURCES])


@app.command("help")
def help_command(name: Annotated[str, typer.Argument(help="A check or a method.")]) -> None:
    """Say what a check or a method does, and how to read it."""
    known = all_checks()
    if name in known:
        out.print(escape(inspect.getdoc(known[name].function) or ""), highlight=False)
    elif name in METHODS:
        out.print(escape(inspect.getdoc(METHODS[name]) or ""), highlight=False)
    else:
        raise UsageError(f"There is no check or method {name!r}.{nearest(name, [*known, *METHODS])}")


def main() -> None:
    """Run the command line and leave with its exit code."""
    warnings.showwarning = _say_note
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal and pipe can show every letter and mark
    try:
        code = app(prog_name="deeptroubles", standalone_mode=False)
    except DeeptroublesError as error:
        err.print(f"Error: {escape(str(error))}", style="red", highlight=False, soft_wrap=True)
        code = 2
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last resort: say that it is our fault, and exit with 3)
        code = _usage_or_bug(error)
    if code == _INTERRUPTED:  # some versions of the command-line library give the code instead of the exception
        err.print("Interrupted. The same command goes on from here.")
    sys.exit(code if isinstance(code, int) else 0)


def _usage_or_bug(error: Exception) -> int:
    show: Any = getattr(error, "show", None)  # a usage error of the command-line library
    if show is not None:
        show()
        return 2
    traceback.print_exception(error)
    err.print("This is a bug in deeptroubles; please report it with the lines above.", style="red")
    return 3


def _load(source: str, device: str, **overrides: Unpack[Overrides]) -> Classifier:
    import torch  # noqa: PLC0415

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError, ImportError):
        raise UsageError(f"The device {device!r} is not available here; use --device cpu.") from None
    with err.status("Loading the model"):
        return load_classifier(source, **overrides).to(chosen)


def _numbers(text: str | None) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise UsageError(f"{text!r} is not a comma-separated list of numbers, such as 0.485,0.456,0.406.") from None


def _size(text: str | None) -> int | tuple[int, int] | None:
    try:
        sides = [int(part) for part in text.lower().split("x")] if text else []
    except ValueError:
        sides = [0]
    if any(side < 1 for side in sides) or len(sides) > 2:
        raise UsageError(f"{text!r} is not a size; give one number, such as 224, or HEIGHTxWIDTH.")
    return (sides[0], sides[-1]) if sides else None


def _class_names(path: Path | None) -> list[str] | None:
    return list(load_class_names(path)) if path else None


def _entry(text: str | None) -> int | str | None:
    return int(text) if text and text.lstrip("-").isdigit() else text


def _say_note(message: Warning | str, *_where: Any, **_more: Any) -> None:
    err.print(f"Note: {escape(' '.join(str(message).split()))}", style="yellow", highlight=False, soft_wrap=True)


def _say_check(check: Check) -> None:
    err.print(f"[dim]{check.name}[/dim]  {escape(check.guide.question)}", highlight=False)


def _print_rows(first: str, second: str, rows: list[tuple[str, str]]) -> None:
    table = Table(first, second, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


def _print_comparison(compared: list[MethodComparison]) -> None:
    whole = [Column(name, no_wrap=True) for name in ("method", "deletion area", "insertion area", "seconds")]
    table = Table(*whole, box=box.SIMPLE_HEAD, pad_edge=False)
    for each in compared:
        areas = (f"{a.value:.3f} ({a.low:.2f} to {a.high:.2f})" for a in (each.deletion, each.insertion) if a)
        table.add_row(
            each.method, *(areas if not each.impossible else ("not for this model", "")), f"{each.seconds:.2f}"
        )
    out.print(table)
    out.print("Most faithful first: deletion should be low, insertion high; intervals (95 %) are over images.")


def _print_findings(result: Audit) -> None:
    table = Table("verdict", "check", "finding", box=box.SIMPLE_HEAD, pad_edge=False)
    for finding in result.findings:
        mark, style = _STYLE[finding.verdict]
        table.add_row(f"[{style}]{mark} {finding.verdict}[/]", finding.check, escape(finding.claim))
    out.print(table)
    facts = result.images
    unreadable = f", {len(facts.unreadable)} unreadable" if facts.unreadable else ""
    out.print(f"{facts.count} images, {facts.labelled} with a known class{unreadable}. {result.seconds:.0f} s.",
              highlight=False)  # fmt: skip
