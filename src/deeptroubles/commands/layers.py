"""`deeptroubles layers`: the layers of a model, for `--layer` and `--layers`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from deeptroubles.commands.console import out, print_whole
from deeptroubles.commands.model import Load, with_model


@with_model()
def layers(
    *, load: Load, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """List the layers of a model: operation, output shape, units, positions and receptive field (height x width)."""
    classifier = load()
    from deeptroubles.network import list_layers

    found = list_layers(classifier)
    if as_json:
        out.print(
            json.dumps([asdict(layer) for layer in found], indent=1), markup=False, highlight=False, soft_wrap=True
        )
        return
    table = Table(
        "layer",
        "operation",
        "output shape",
        Column("units", justify="right"),
        "positions",
        "receptive field",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for layer in found:
        table.add_row(
            escape(layer.name),
            escape(layer.operation),
            _sides(layer.shape),
            str(layer.units),
            _sides(layer.positions),
            _sides(layer.receptive_field),
        )
    print_whole(table)


def _sides(sides: tuple[int, ...] | None) -> str:
    return " x ".join(map(str, sides)) if sides else ""
