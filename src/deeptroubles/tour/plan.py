"""Which stops there are, chapter by chapter, and what their files say of them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deeptroubles.errors import UsageError, nearest
from deeptroubles.listing import docstring, module_name
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Shown

HERE = Path(__file__).parent / "stops"
CHAPTERS = {
    "reasons": [
        "horse_tag",
        "moving",
        "hidden_parts",
        "occlusion_map",
        "class_activation",
        "traffic_density",
        "deconvolution",
        "what_if",
    ],
    "attacks": ["fooling", "stop_sign", "invisible_noise", "one_pixel_pairs"],
    "units": [
        "hog_and_sift",
        "feature_maps_shown",
        "best_for_each_filter",
        "random_start",
        "filter_activity",
        "microscope",
    ],
    "data": ["lookalikes", "corruptions", "groups", "fairness", "shape_or_texture", "stylized_data", "geography"],
    "report": ["trust_report"],
}
"""The folders of `stops/` and their files, in the order of the lecture."""


class StopFunction(Protocol):
    """A stop: a function of its file's name."""

    def __call__(self, workshop: Workshop) -> Shown: ...  # noqa: D102


@dataclass(frozen=True)
class PlannedStop:
    """A stop, known from its source.

    Attributes:
        name: Name of its file and its function.
        chapter: Name of its folder.
        title: The first line of the file: the idea in a few words.
        question: The docstring of its function: what it asks.
        module: Where its function is.
    """

    name: str
    chapter: str
    title: str
    question: str
    module: str

    def function(self) -> StopFunction:
        """Import it."""
        found: StopFunction = getattr(importlib.import_module(self.module), self.name)
        return found


def all_stops() -> list[PlannedStop]:
    """Every stop, in the order of the page."""
    return [_read(chapter, HERE / chapter / f"{name}.py") for chapter, names in CHAPTERS.items() for name in names]


def chapter_title(chapter: str) -> str:
    """What a chapter asks."""
    return _first_lines(HERE / chapter / "__init__.py")


def chosen_stops(names: Sequence[str]) -> list[PlannedStop]:
    """The stops of these names, or all where none is named. Raises UsageError."""
    stops = all_stops()
    known = [stop.name for stop in stops]
    for name in names:
        if name not in known:
            raise UsageError(f"There is no stop {name!r}; choose {', '.join(known)}.{nearest(name, known)}")
    return [stop for stop in stops if not names or stop.name in names]


def _read(chapter: str, file: Path) -> PlannedStop:
    question = " ".join((docstring(file) or "").split())
    return PlannedStop(file.stem, chapter, _first_lines(file), question, module_name(file))


def _first_lines(file: Path) -> str:
    """The first sentence of a file's docstring, without its period."""
    text = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).removesuffix(".")
