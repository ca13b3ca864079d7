"""`deeptroubles explain`: draw which parts of an image a prediction depends on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from deeptroubles.commands.console import err, out, print_whole
from deeptroubles.commands.engine import EngineName
from deeptroubles.commands.images import ValueRange
from deeptroubles.commands.model import Load, with_model
from deeptroubles.errors import ImagesError, UnreadableImageError, UsageError
from deeptroubles.methods.catalogue import ATTRIBUTION, DEFAULT_ATTRIBUTION, find_method, parse_settings

if TYPE_CHECKING:
    from PIL.Image import Image

    from deeptroubles.images import ImageSet
    from deeptroubles.workflows.explain import Explanation, MethodComparison

_SHOWN = 8
"""How many pictures of a folder are drawn."""


@with_model()
def explain(
    *,
    load: Load,
    image: Annotated[
        Path,
        typer.Argument(help="An image, or a folder, whose first eight images are explained (with --compare, all)."),
    ],
    value_range: ValueRange = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="An attribution method, or all; `deeptroubles methods` lists them. Default: grad_cam, or "
            "occlusion for a model on which grad_cam does not work."
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Class name or index. Default: the most likely class.")] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="The layer, for methods that explain one layer; `deeptroubles layers` lists them."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method; `deeptroubles help METHOD` lists them. Repeatable.",
        ),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Rank methods by faithfulness on these images.")] = False,
    engine: EngineName = "local",
    out_file: Annotated[
        Path | None, typer.Option("--out", help="PNG to write. Default: IMAGE.METHOD.png here.")
    ] = None,
) -> None:
    """Draw which parts of an image a prediction depends on, and print the most likely classes."""
    options = {"--method": method, "--target": target, "--layer": layer, "--set": settings, "--out": out_file}
    if compare and (unused := [name for name, value in options.items() if value]):
        raise UsageError(
            f"--compare ranks all methods for the most likely class, and draws nothing; leave out {', '.join(unused)}."
        )
    whole_catalogue = compare or method == "all"
    if settings and whole_catalogue:
        raise UsageError("Settings are for one method; name it with --method.")
    method = method or (DEFAULT_ATTRIBUTION[0] if settings else None)
    methods = list(ATTRIBUTION) if whole_catalogue else [find_method(method, ATTRIBUTION).name] if method else []
    from deeptroubles.images import load_images

    images = load_images(image, value_range=value_range)
    pictures = {} if compare else _first_readable(images)  # before the model is loaded
    classifier = load()
    if classifier.outputs_note:
        err.print(classifier.outputs_note, markup=False, highlight=False)
    from deeptroubles.engine import engine_named
    from deeptroubles.report.figure import draw_heatmap, draw_sheet
    from deeptroubles.workflows.explain import compare_methods, explain_pictures

    if compare:
        _print_comparison(compare_methods(classifier, images, methods, engine=engine_named(engine)))
        return
    given = parse_settings(ATTRIBUTION[methods[0]], settings) if settings else {}
    if layer:
        given["layer"] = layer
    found = explain_pictures(classifier, list(pictures.values()), methods, target, **given)
    drawn = method or next(iter(found.maps))
    path = out_file or Path(f"{image.stem}.{drawn}.png")
    if len(found.maps) == 1 and len(pictures) == 1:
        title = f"{found.targets[0]} ({drawn})"
        draw_heatmap(found.pictures[0], found.maps[drawn][0], title, f"value of {drawn}", path)
    else:
        draw_sheet(found.pictures, found.maps, found.targets, path)
    _print_explanation(found, list(pictures), len(images))
    if not method:
        out.print(f"Method: {drawn}, the first that works for this model.", highlight=False)
    out.print(f"\nPicture: {escape(str(path))}", soft_wrap=True)


def _print_explanation(found: Explanation, names: Sequence[str], available: int) -> None:
    """The most likely classes of each picture, how many are drawn, and the methods that do not work."""
    for name, likely in zip(names, found.most_likely, strict=True):
        if len(names) > 1:
            out.print(f"\n{escape(name)}", highlight=False)
        for class_name, probability in likely:
            out.print(f"{probability:7.1%}  {escape(class_name)}", highlight=False)
    if available > len(names):
        out.print(f"\nDrawn: {len(names)} of {available} images, the first that can be read.", highlight=False)
    for name, why in found.impossible.items():
        out.print(f"{name} does not work here: {escape(why)}", style="yellow", highlight=False, soft_wrap=True)


def _first_readable(images: ImageSet) -> dict[str, Image]:
    """The first pictures that can be read, by name. An image that is the only one must be readable."""
    found: dict[str, Image] = {}
    for row, name in enumerate(images.table["path"]):
        try:
            found[str(name)] = images[row]
        except UnreadableImageError:
            if len(images) == 1:
                raise
        if len(found) == _SHOWN:
            break
    if not found:
        raise ImagesError("None of the images could be read.")
    return found


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
    print_whole(table)
    out.print(
        "Most faithful first, by insertion minus deletion: deletion and infidelity should be low, insertion and ROAD "
        "high; intervals (95%) are over images."
    )
