"""The options that say which model, and how it takes its images: the same for every command that needs one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from deeptroubles.classifier import Classifier
from deeptroubles.commands.console import err
from deeptroubles.errors import UsageError
from deeptroubles.models import load_class_names, load_classifier

Load = Callable[[], Classifier]


def load_model(
    model: Annotated[str, typer.Argument(help="Where the model comes from; `deeptroubles models` lists the forms.")],
    *,
    size: Annotated[str | None, typer.Option(help="Input size: one number, or HEIGHTxWIDTH.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean per channel, comma-separated, for pixels in [0, 1].")] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation per channel, comma-separated.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Class names: a text file (one a line) or JSON.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="1 for grey, 3 for RGB.")] = None,
    output: Annotated[str | None, typer.Option(help="Which entry of the model's answer holds the logits.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="The model ends in a softmax.")] = False,
    weights: Annotated[Path | None, typer.Option(help="A local weights file, for timm: and torchvision:.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ... Default: the GPU when there is one.")] = "",
) -> Classifier:
    """Load the model that a command was given."""
    import torch  # noqa: PLC0415

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError, ImportError):
        raise UsageError(f"The device {device!r} is not available here; use --device cpu.") from None
    with err.status("Loading the model"):
        return load_classifier(
            model,
            size=_size(size),
            mean=_numbers(mean),
            std=_numbers(std),
            channels=channels,
            class_names=list(load_class_names(classes)) if classes else None,
            output=_entry(output),
            weights=weights,
            probabilities=probabilities or None,
        ).to(chosen)


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the model's argument first and its options last; it takes `load` instead, to load it with."""
    of_model = inspect.signature(load_model).parameters
    hints = get_type_hints(load_model, include_extras=True)
    shared = [p.replace(annotation=hints[name], kind=p.KEYWORD_ONLY) for name, p in of_model.items()]
    own_hints = get_type_hints(command, include_extras=True)
    own = [
        p.replace(annotation=own_hints[name], kind=p.KEYWORD_ONLY)
        for name, p in inspect.signature(command).parameters.items()
        if name != "load"
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in of_model}
        command(load=functools.partial(load_model, **options), **given)

    run.__signature__ = inspect.Signature([shared[0], *own, *shared[1:]])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (shared[0], *own, *shared[1:])}
    return run


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
