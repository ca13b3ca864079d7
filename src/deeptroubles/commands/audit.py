"""`deeptroubles audit`: audit a classifier on images and write a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from deeptroubles.checks.options import OPTIONS
from deeptroubles.checks.wording import percent
from deeptroubles.commands.budget import read_budget
from deeptroubles.commands.console import command_line, out
from deeptroubles.commands.engine import EngineName
from deeptroubles.commands.fail_on import read_fail_on
from deeptroubles.commands.images import FORMS, Label, Masks, PathColumn, ValueRange, images_with_masks
from deeptroubles.commands.model import Load, named_model, origin_of, with_model
from deeptroubles.errors import RunFolderError, UsageError
from deeptroubles.findings import Audit, Estimate, Finding, Verdict, audit_to_json
from deeptroubles.run.origin import is_run, write_origin

_STYLE = {
    Verdict.FAIL: ("✖", "bold red"),
    Verdict.ERROR: ("!", "bold magenta"),
    Verdict.WARN: ("▲", "yellow"),
    Verdict.INCONCLUSIVE: ("?", "cyan"),
    Verdict.PASS: ("✔", "green"),
    Verdict.SKIPPED: ("–", "dim"),
}
COMMON = "True of nearly every network that was not trained against it"
"""What is said above the findings that are common."""

_NOTHING_JUDGED = (
    "No check came to a verdict: all were skipped or inconclusive, so --fail-on cannot decide. See the findings for "
    "what to add."
)


@with_model(OPTIONS)
def audit_command(
    *,
    load: Load,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the run.")],
    images: Annotated[
        str | None,
        typer.Option(
            help=f"The images: {FORMS}. Default for a model that `train` made: the images that were held out."
        ),
    ] = None,
    label: Label = None,
    path_column: PathColumn = None,
    value_range: ValueRange = None,
    masks: Masks = None,
    checks: Annotated[
        str | None, typer.Option(help="Checks or families to run, comma-separated. Default: all but mitigation.")
    ] = None,
    skip: Annotated[str | None, typer.Option(help="Checks or families to leave out, comma-separated.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="VERDICT[:CHECKS]",
            help="Exit with 1 on this verdict (fail or warn) or worse, of all checks or of some, such as "
            "fail:data,reliance. Problems that nearly every network has count only if their checks are named.",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the findings as JUnit XML, for CI.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write them as SARIF 2.1.0, for code hosts.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="How many images are processed at once.")] = 32,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME|none",
            help="About how long the checks may take together, such as 90s, 10m or 2h; checks that would take longer "
            "use fewer images. none: no limit.",
        ),
    ] = "10m",
    engine: EngineName = "local",
    keep_pixels: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Disk space for decoded images until the audit is complete, such as 4GB; what does not fit is decoded "
            "whenever it is needed. Default: a quarter of the free space.",
        ),
    ] = None,
    options: dict[str, Any],
) -> None:
    """Audit a classifier on images and write a report."""
    problem, seconds = read_fail_on(fail_on) if fail_on else None, read_budget(budget)
    classifier = load()
    from deeptroubles.engine import engine_named
    from deeptroubles.models.trained import held_out_images
    from deeptroubles.workflows.audit import REPORT, audit

    images = images or held_out_images(named_model(load))
    if images is None:
        raise UsageError("Say which images to audit it on, with --images.")
    read = {"label": label, "path_column": path_column, "value_range": value_range, "masks": masks}
    found = images_with_masks(images, read)
    origin, is_new = origin_of(load, images, seed, read), not is_run(out_folder)
    try:
        result = audit(
            classifier,
            found,
            out_folder,
            checks=_names(checks) or None,
            skip=_names(skip),
            seed=seed,
            batch_size=batch_size,
            budget=seconds,
            keep_pixels=keep_pixels,
            engine=engine_named(engine),
            command=command_line(),
            **options,
        )
    except KeyboardInterrupt:
        _print_begun(out_folder)
        raise
    finally:
        if is_new:  # the audit may have been refused because the folder holds another run
            write_origin(out_folder, origin)
    write_origin(out_folder, origin)
    _write_for_ci(result, out_folder, junit, sarif)
    if as_json:
        sys.stdout.write(audit_to_json(result) + "\n")
    else:
        print_findings(result)
        out.print(f"\nReport: {escape(str(out_folder / REPORT))}", soft_wrap=True)
    if problem and not problem.decided(result.findings):
        raise UsageError(_NOTHING_JUDGED)
    if problem and problem.trips(result.findings):
        raise typer.Exit(1)


def _write_for_ci(result: Audit, folder: Path, junit: Path | None, sarif: Path | None) -> None:
    """Write the findings in the formats that continuous integration reads, where they were asked for."""
    from deeptroubles.report.junit import junit_xml
    from deeptroubles.report.sarif import sarif_json
    from deeptroubles.run.files import write_whole
    from deeptroubles.workflows.audit import REPORT

    if junit:
        write_whole(junit, junit_xml(result))
    if sarif:
        write_whole(sarif, sarif_json(result, (folder / REPORT).as_posix()))


def _print_begun(folder: Path) -> None:
    """Print what an interrupted audit has found; its report is written after every check."""
    from deeptroubles.run.folder import read_audit
    from deeptroubles.workflows.audit import REPORT

    with suppress(RunFolderError):
        result = read_audit(folder)
        if not result.findings:
            return
        print_findings(result)
        out.print(f"\nReport of the checks that were complete: {escape(str(folder / REPORT))}", soft_wrap=True)


def _names(text: str | None) -> list[str]:
    """Names from a comma-separated list."""
    return [name.strip() for name in text.split(",")] if text else []


def print_findings(result: Audit) -> None:
    """Print the findings of an audit, worst first, its summary, and how many images it is about."""
    print_finding_table([finding for finding in result.findings if not finding.common])
    common = [finding for finding in result.findings if finding.common]
    if common:
        out.print(f"{COMMON}:", soft_wrap=True)
        print_finding_table(common)
    out.print(f"Is {result.model.name} right for the right reasons?", style="bold", markup=False, highlight=False)
    for line in result.summary:
        out.print(line, markup=False, highlight=False)
    facts = result.images
    for note in facts.notes:
        out.print(escape(note), highlight=False)
    unreadable = f", {len(facts.unreadable)} unreadable" if facts.unreadable else ""
    out.print(
        f"{facts.count} images, {facts.labelled} with a known class{unreadable}. {result.seconds:.0f} s.",
        highlight=False,
    )


def print_finding_table(findings: Sequence[Finding]) -> None:
    """Print verdict, check and claim of findings."""
    whole = (Column(name, no_wrap=True) for name in ("verdict", "check"))
    table = Table(*whole, "finding", box=box.SIMPLE_HEAD, pad_edge=False)
    for finding in findings:
        mark, style = _STYLE[finding.verdict]
        judged = next((each for each in finding.evidence if isinstance(each, Estimate)), None)
        usual = f"\n[dim]{escape(_usual(judged))}[/]" if judged and judged.references else ""
        table.add_row(f"[{style}]{mark} {finding.verdict}[/]", finding.check, escape(finding.claim) + usual)
    out.print(table)


def _usual(estimate: Estimate) -> str:
    """The values of known networks in one sentence."""
    share = estimate.unit in {"share", "probability"}
    values = (f"{r.name} {percent(r.value) if share else f'{r.value:.3g}'}" for r in estimate.references)
    return f"For comparison: {', '.join(values)}."
