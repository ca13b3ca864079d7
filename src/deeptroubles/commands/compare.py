"""`deeptroubles compare`: do two audited models make their errors on the same images?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeptroubles.checks.wording import percent, plural
from deeptroubles.commands.console import out


def compare(
    first: Annotated[Path, typer.Argument(help="The folder of an audit.")],
    second: Annotated[Path, typer.Argument(help="The folder of another audit, on the same images.")],
) -> None:
    """Measure whether two audited models make their errors on the same images (error consistency)."""
    from deeptroubles.workflows.compare_errors import compare_errors

    found = compare_errors(first, second)
    kappa = found.kappa
    if kappa.value != kappa.value:
        out.print(
            f"Both are right on all {plural(found.images, 'image')}, or both are wrong on all, so there are no errors "
            "to compare; use images of another difficulty."
        )
        return
    out.print(
        f"Cohen's kappa of the errors is {kappa.value:.2f} (95% CI {kappa.low:.2f} to {kappa.high:.2f}) on "
        f"{plural(found.images, 'image')}: both are right or both are wrong on {percent(found.observed)} of them, "
        f"independent models of their accuracies would be on {percent(found.expected)}.",
        highlight=False,
    )
    out.print("1 means the same errors, 0 errors that are independent, below 0 errors that complement each other.")
