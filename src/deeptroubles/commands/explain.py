"""`deeptroubles explain`: draw which parts of an image a prediction depends on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from deeptroubles.commands.console import out
from deeptroubles.commands.model import Load, with_model
from deeptroubles.errors import UsageError
from deeptroubles.methods.catalogue import ATTRIBUTION, find_method, parse_settings

if TYPE_CHECKING:
    from deeptroubles.workflows.explain import MethodComparison


@with_model()
def explain(
    *,
    load: Load,
    image: Annotated[Path, typer.Argument(help="A picture; with --compare, any images.")],
    method: Annotated[
        str, typer.Option(help="An attribution method, or all; `deeptroubles methods` lists them.")
    ] = "grad_cam",
    target: Annotated[str | None, typer.Option(help="Class name or index. Default: the most likely class.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to look at, for methods that look at one.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting; `deeptroubles help METHOD`. Repeatable."),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Rank methods by faithfulness on these images.")] = False,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="PNG to write. Default: IMAGE.METHOD.png here.")
    ] = None,
) -> None:
    """Draw which parts of one image a prediction depends on, and print the most likely classes."""
    methods = list(ATTRIBUTION) if method == "all" or compare else [find_method(method, ATTRIBUTION).name]
    if settings and len(methods) > 1:
        raise UsageError("Settings are for one method; name it with --method.")
    from deeptroubles.images import load_images

    images = load_images(image)
    picture = None if compare else images[0]  # reported before the model is loaded if unreadable
    classifier = load()
    from deeptroubles.report.figure import draw_heatmap, draw_sheet
    from deeptroubles.workflows.explain import compare_methods, explain_picture

    if picture is None:
        _print_comparison(compare_methods(classifier, images, methods))
        return
    given = parse_settings(ATTRIBUTION[method], settings) if settings else {}
    if layer:
        given["layer"] = layer
    found = explain_picture(classifier, picture, methods, target, **given)
    path = out_file or Path(f"{image.stem}.{method}.png")
    if method == "all":
        draw_sheet(found.picture, found.maps, found.target, path)
    else:
        draw_heatmap(found.picture, found.maps[method], f"{found.target} ({method})", "logits", path)
    for name, probability in found.most_likely:
        out.print(f"{probability:7.1%}  {escape(name)}", highlight=False)
    for name, why in found.impossible.items():
        out.print(f"{name} does not work here: {escape(why)}", style="yellow", highlight=False)
    out.print(f"\nPicture: {escape(str(path))}", soft_wrap=True)


def _print_comparison(compared: list[MethodComparison]) -> None:
    names = ("method", "deletion", "insertion", "ROAD", "infidelity", "seconds")
    table = Table(*(Column(name, no_wrap=True) for name in names), box=box.SIMPLE_HEAD, pad_edge=False)
    for each in compared:
        measures = (each.deletion, each.insertion, each.road, each.infidelity)
        cells = (f"{m.value:.2f} ({m.low:.2f} to {m.high:.2f})" for m in measures if m)
        table.add_row(
            each.method,
            *(cells if not each.impossible else ("does not work here", *[""] * (len(measures) - 1))),
            f"{each.seconds:.2f}",
        )
    out.print(table)
    out.print(
        "Most faithful first, by insertion minus deletion: deletion and infidelity should be low, insertion and ROAD "
        "high; intervals (95%) are over images."
    )
