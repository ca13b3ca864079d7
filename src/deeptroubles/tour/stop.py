"""What a stop shows, and how it is written to disk and to the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, computed_field

from deeptroubles.display import Brief
from deeptroubles.findings import Evidence


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured number beside what we expect, `low` to `high` (None: no limit).

    `unit` says how to write it: a share as percent, everything else as it is.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: Literal["share", "number"] = "share"

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorators above @property
    @property
    def as_expected(self) -> bool:
        """Whether it lies in the expected range."""
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)


@dataclass(frozen=True, kw_only=True, repr=False)
class Shown(Brief):
    """What a stop shows.

    Attributes:
        see: What to see in the pictures, a paragraph each.
        numbers: Measured numbers, each beside its expectation.
        pictures: The pictures, tables and curves.
        commands: How to run it yourself: lines of a shell, or of Python.
        tries: What to try next.
    """

    see: Sequence[str]
    numbers: Sequence[Number]
    pictures: Sequence[Evidence]
    commands: Sequence[str]
    tries: Sequence[str]


@dataclass(frozen=True, kw_only=True, repr=False)
class Visited(Brief):
    """A stop on the page.

    Attributes:
        name: Its name on the command line.
        title: The idea in a few words.
        question: What it asks.
        status: `shown`, `failed`, or `ahead` where it was not visited yet.
        seconds: How long it took.
        shown: What it shows, if it could.
        problem: Why it could not.
    """

    name: str
    title: str
    question: str
    status: Literal["shown", "failed", "ahead"] = "ahead"
    seconds: float = 0.0
    shown: Shown | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class Chapter(Brief):
    """Some stops about one question."""

    title: str
    stops: Sequence[Visited]


@dataclass(frozen=True, kw_only=True, repr=False)
class Tour(Brief):
    """The whole page."""

    chapters: Sequence[Chapter]
    quick: bool
    seed: int
    version: str

    @property
    def stops(self) -> list[Visited]:
        """The stops of all chapters."""
        return [stop for chapter in self.chapters for stop in chapter.stops]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)  # made when first used: it takes a while


def to_json(content: Tour | Visited) -> str:
    """Write a tour or a stop as JSON (NaN and infinity become null)."""
    kind: Any = type(content)
    document = _adapter(kind).dump_python(content, mode="json")
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def visited_from_json(text: bytes) -> Visited:
    """Read a stop. Raises `pydantic.ValidationError` when the text is none."""
    found: Visited = _adapter(Visited).validate_json(text)
    return found
