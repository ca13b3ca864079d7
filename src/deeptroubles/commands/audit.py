"""`deeptroubles audit`: audit a classifier on images and write a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from deeptroubles.checks.options import OPTIONS
from deeptroubles.commands.console import command_line, out
from deeptroubles.commands.model import Load, with_model
from deeptroubles.findings import Audit, Verdict, audit_to_json
from deeptroubles.report import write_report

_STYLE = {
    Verdict.FAIL: ("✖", "bold red"),
    Verdict.ERROR: ("!", "bold magenta"),
    Verdict.WARN: ("▲", "yellow"),
    Verdict.INCONCLUSIVE: ("?", "cyan"),
    Verdict.PASS: ("✔", "green"),
    Verdict.SKIPPED: ("–", "dim"),
}
_PROBLEM = {"fail": {Verdict.FAIL, Verdict.ERROR}, "warn": {Verdict.FAIL, Verdict.ERROR, Verdict.WARN}}


@with_model(OPTIONS)
def audit_command(
    *,
    load: Load,
    images: Annotated[str, typer.Option(help="Class folders, a flat folder, a manifest, IDX, hf:NAME or demo.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the run.")],
    label: Annotated[str | None, typer.Option(help="The column that is the label. Default: `label`.")] = None,
    checks: Annotated[str | None, typer.Option(help="Checks or families, comma-separated. Default: all.")] = None,
    fail_on: Annotated[
        Literal["warn", "fail"] | None, typer.Option(help="Exit with 1 on this verdict or worse.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="How many images are processed at once.")] = 32,
    options: dict[str, Any],
) -> None:
    """Audit a classifier on images and write a report."""
    classifier = load()
    from deeptroubles.images import load_images
    from deeptroubles.workflows.audit import audit

    result = audit(
        classifier,
        load_images(images, label=label),
        out_folder,
        checks=[name.strip() for name in checks.split(",")] if checks else None,
        seed=seed,
        batch_size=batch_size,
        command=command_line(),
        **options,
    )
    report = out_folder / "report.html"
    write_report(result, report)
    if as_json:
        sys.stdout.write(audit_to_json(result) + "\n")
    else:
        print_findings(result)
        out.print(f"\nReport: {escape(str(report))}", soft_wrap=True)
    if fail_on and any(f.verdict in _PROBLEM[fail_on] for f in result.findings):
        raise typer.Exit(1)


def print_findings(result: Audit) -> None:
    """Print the findings of an audit, worst first, its summary, and how many images it is about."""
    whole = (Column(name, no_wrap=True) for name in ("verdict", "check"))
    table = Table(*whole, "finding", box=box.SIMPLE_HEAD, pad_edge=False)
    for finding in result.findings:
        mark, style = _STYLE[finding.verdict]
        table.add_row(f"[{style}]{mark} {finding.verdict}[/]", finding.check, escape(finding.claim))
    out.print(table)
    out.print(f"Is {result.model.name} right for the right reasons?", style="bold", markup=False, highlight=False)
    for line in result.summary:
        out.print(line, markup=False, highlight=False)
    facts = result.images
    unreadable = f", {len(facts.unreadable)} unreadable" if facts.unreadable else ""
    out.print(
        f"{facts.count} images, {facts.labelled} with a known class{unreadable}. {result.seconds:.0f} s.",
        highlight=False,
    )
