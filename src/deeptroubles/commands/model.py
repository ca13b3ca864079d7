"""The options that say which model, and how it takes its images: the same for every command that needs one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from deeptroubles.checks.options import Option
from deeptroubles.commands.console import doing, err
from deeptroubles.errors import UsageError
from deeptroubles.run.origin import Origin

if TYPE_CHECKING:
    from deeptroubles.classifier import Classifier

Load = Callable[[], "Classifier"]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ... Default: the GPU if there is one.")]


def available_device(name: str) -> str:
    """The device of this name; by default the GPU if there is one. Raises UsageError where it is not available."""
    import torch

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError):
        raise UsageError(f"The device {name!r} is not available here; use --device cpu.") from None
    return name


def load_model(
    model: Annotated[
        str,
        typer.Argument(
            help="The model, such as my_file:build, timm:resnet50 or model.onnx; `deeptroubles models` lists all forms."
        ),
    ],
    *,
    size: Annotated[str | None, typer.Option(help="Input size: one number, or HEIGHTxWIDTH.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean per channel, comma-separated, for pixels in [0, 1].")] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation per channel, comma-separated.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Class names: a text file (one a line) or JSON.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="1 for grayscale, 3 for RGB.")] = None,
    output: Annotated[
        str | None, typer.Option(help="Which entry of the model's output holds the logits, where it returns several.")
    ] = None,
    outputs: Annotated[
        Literal["logits", "probabilities", "sigmoid"] | None,
        typer.Option(help="What the model returns. Default: recognized from its outputs."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A local weights file for the network; MODEL@FILE says the same.")
    ] = None,
    device: Device = "",
) -> Classifier:
    """Load the model that a command was given."""
    with doing("Loading the model"):
        from deeptroubles.models import load_class_names, load_classifier

        chosen = available_device(device)
        classifier = load_classifier(
            model,
            size=_size(size),
            mean=_numbers(mean),
            std=_numbers(std),
            channels=channels,
            class_names=list(load_class_names(classes)) if classes else None,
            output=_entry(output),
            weights=weights,
            outputs=outputs,
        ).to(chosen)
    for note in classifier.notes:
        err.print(note, markup=False, highlight=False)
    return classifier


def with_model(options: Sequence[Option[Any]] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the model's argument first and its options last; it takes `load` instead, to load it with.

    Options of checks come before those of the model; the command takes what was given for them as `options`.
    """
    shared = _parameters(load_model)
    of_checks = [_parameter(option) for option in options]

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in _parameters(command) if p.name not in {"load", "options"}]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            model = {p.name: given.pop(p.name) for p in shared}
            extra = {"options": {p.name: given.pop(p.name) for p in of_checks}} if of_checks else {}
            command(load=functools.partial(load_model, **model), **given, **extra)

        parameters = [shared[0], *own, *of_checks, *shared[1:]]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return wrap


def named_model(load: Load) -> str:
    """The model as it was named on the command line."""
    return str(_given(load)["model"])


def origin_of(load: Load, images: str, seed: int, images_options: Mapping[str, str | None]) -> Origin:
    """Where a model and images come from, to be kept in their run folder. Files are kept with their whole path."""
    given = dict(_given(load))
    model = str(given.pop("model"))
    options = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in given.items()}
    read = {name: _whole_path(text) if name == "masks" and text else text for name, text in images_options.items()}
    return Origin(_whole_path(model), _whole_path(images), seed, options, read)


def _whole_path(text: str) -> str:
    """The whole path of a file or a folder; a text that names neither stays as it is."""
    return str(Path(text).resolve()) if Path(text).exists() else text


def _given(load: Load) -> Mapping[str, Any]:
    assert isinstance(load, functools.partial)  # noqa: S101 (`with_model` made it)
    return load.keywords


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, {**function.__globals__, "Classifier": Any}, include_extras=True)
    parameters = inspect.signature(function).parameters
    return [p.replace(annotation=hints[name], kind=p.KEYWORD_ONLY) for name, p in parameters.items()]


def _parameter(option: Option[Any]) -> inspect.Parameter:
    """An option of a check as one of a command."""
    repeat = " Repeatable." if option.repeatable else ""
    values = list[str] | None if option.repeatable else str | None
    name = f"--{option.name.replace('_', '-')}"
    said = typer.Option(name, help=f"{option.help}{repeat}", metavar=option.metavar)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[values, said]
    )


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


def _entry(text: str | None) -> int | str | None:
    return int(text) if text and text.lstrip("-").isdigit() else text
