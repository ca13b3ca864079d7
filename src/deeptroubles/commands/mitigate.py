"""`deeptroubles mitigate`: mitigation of gaps between groups, before and after."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from deeptroubles.checks.options import COST_RATIO, POSITIVE, THRESHOLD
from deeptroubles.commands.audit import print_findings
from deeptroubles.commands.console import command_line, out
from deeptroubles.commands.engine import EngineName
from deeptroubles.commands.images import Label, PathColumn, ValueRange
from deeptroubles.commands.model import Load, with_model
from deeptroubles.findings import audit_to_json


@with_model((POSITIVE, COST_RATIO, THRESHOLD))
def mitigate(
    *,
    load: Load,
    images: Annotated[str, typer.Option(help="Labelled images with a column of groups, such as a manifest.")],
    group: Annotated[str, typer.Option(help="The column with the group of each image.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the run.")],
    label: Label = None,
    path_column: PathColumn = None,
    value_range: ValueRange = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="How many images are processed at once.")] = 32,
    engine: EngineName = "local",
    options: dict[str, Any],
) -> None:
    """Try to close gaps between groups (reweighing, a balanced last layer, thresholds) and measure what it changes."""
    classifier = load()
    from deeptroubles.engine import engine_named
    from deeptroubles.images import load_images
    from deeptroubles.workflows.audit import REPORT
    from deeptroubles.workflows.mitigate import mitigate as run_mitigation

    found = run_mitigation(
        classifier,
        load_images(images, label=label, path_column=path_column, value_range=value_range),
        group,
        out_folder,
        seed=seed,
        batch_size=batch_size,
        engine=engine_named(engine),
        command=command_line(),
        **options,
    )
    if as_json:
        sys.stdout.write(audit_to_json(found.audit) + "\n")
    else:
        print_findings(found.audit)
        out.print(f"\nReport: {escape(str(out_folder / REPORT))}", soft_wrap=True)
