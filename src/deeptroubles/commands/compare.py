"""`deeptroubles compare`: what got better or worse between audits of the same images."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from deeptroubles.commands.audit import print_finding_table
from deeptroubles.commands.console import doing, err, out
from deeptroubles.errors import UsageError


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of audits; the first is the base.")],
    *,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for a page for each comparison. Default: no page.")
    ] = None,
    fail_on: Annotated[
        Literal["worse", "verdict"] | None,
        typer.Option(
            help="Exit with 1 if an estimate got worse by more than chance (worse), or a check fails newly (verdict)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparisons as a JSON list.")] = False,
) -> None:
    """Compare audits of the same images: what got better or worse by more than chance."""
    if len(runs) < 2:
        raise UsageError("Give at least two folders of audits; the first is what the others are compared with.")
    with doing("Comparing"):
        from deeptroubles.findings import audit_to_json
        from deeptroubles.report import write_report
        from deeptroubles.workflows.compare import compare as compare_runs
        from deeptroubles.workflows.compare import comparison_report

        found = [compare_runs(runs[0], other) for other in runs[1:]]
        reports = [comparison_report(each, run) for run, each in zip(runs[1:], found, strict=True)]
    if as_json:
        sys.stdout.write(f"[{','.join(map(audit_to_json, reports))}]\n")
    named = Counter[str]()  # runs in different folders may have the same name
    for run, each, report in zip(runs[1:], found, reports, strict=True):
        if not as_json:
            out.print(escape(f"{runs[0]} -> {run}"), style="bold", highlight=False)
            print_finding_table(report.findings)
            for note in each.notes:
                out.print(escape(note), highlight=False)
        if out_folder:
            name = f"{runs[0].resolve().name}-{run.resolve().name}"
            named[name] += 1
            page = out_folder / (f"{name}.html" if named[name] == 1 else f"{name}-{named[name]}.html")
            write_report(report, page)
            err.print(f"Page: {escape(str(page))}", soft_wrap=True)
    tripped = any(each.worse if fail_on == "worse" else each.newly_failing for each in found)
    if fail_on and tripped:
        raise typer.Exit(1)
