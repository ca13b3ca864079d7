"""How a check is declared, found and described."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, TypeVar

from deeptroubles.engine import Engine
from deeptroubles.errors import UsageError, nearest
from deeptroubles.findings import Finding, Guide
from deeptroubles.recording import Recording

NEEDS = {
    "labels": "images whose label is one of the classes",
    "masks": "masks of the objects (a column `mask` of the manifest) that fit their images",
    "concepts": "folders of images that show a concept (--concept)",
    "groups": "columns of the manifest that say which group an image belongs to (--group)",
}
"""What a check can ask for, and how to say that it is missing."""

SECTIONS = ("What it asks", "Why it matters", "How to read it", "Limits", "References")
"""The sections of every check's docstring, in this order."""


class Result(Protocol):
    """What a check measured; a frozen dataclass."""

    def findings(self) -> Iterable[Finding]:
        """Judge what was measured."""
        ...


class CheckFunction(Protocol):
    """A check: reads a recording, has work done by an engine, draws randomness from a seed only."""

    def __call__(self, recording: Recording, engine: Engine, *, seed: int) -> Result: ...  # noqa: D102


@dataclass(frozen=True)
class Check:
    """A question that can be asked of any classifier and its images."""

    name: str
    function: CheckFunction
    needs: frozenset[str]

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    def missing(self, recording: Recording) -> str:
        """What the check needs and the recording does not have, in words; '' when it has all."""
        there = {
            "labels": len(recording.labelled),
            "masks": len(recording.masked),
            "concepts": len(recording.given.concepts),
            "groups": len(recording.given.groups),
        }
        return " and ".join(NEEDS[need] for need in NEEDS if need in self.needs and not there[need])

    @property
    def guide(self) -> Guide:
        """The docstring, section by section. Raises ValueError as `read_guide` does."""
        return read_guide(self.name, self.function)


def read_guide(name: str, function: Callable[..., Any]) -> Guide:
    """The docstring of a check, or of what has the same sections.

    Raises:
        ValueError: A section is missing.
    """
    text = inspect.getdoc(function) or ""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    if tuple(parts[1::2]) != SECTIONS:
        raise ValueError(f"The docstring of {name} needs the sections {', '.join(SECTIONS)}, in this order.")
    asks, matters, reading, limits, references = (_unwrapped(part) for part in parts[2::2])
    return Guide(
        question=_unwrapped(parts[0]), asks=asks, matters=matters, reading=reading, limits=limits, references=references
    )


F = TypeVar("F", bound=Callable[..., Any])
_DECLARED: dict[str, Check] = {}


def check(name: str, *, needs: Iterable[str] = ()) -> Callable[[F], F]:
    """Declare a check.

    Args:
        name: `family.name`.
        needs: What must be there for the check to be possible; see `NEEDS`.
    """

    def declare(function: F) -> F:
        _DECLARED[name] = Check(name, function, frozenset(needs))
        return function

    return declare


@cache
def all_checks() -> dict[str, Check]:
    """All checks by name, those of this package in the order of their files."""
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], "deeptroubles.checks."):
        importlib.import_module(module.name)
    for entry in entry_points(group="deeptroubles.checks"):
        entry.load()
    return dict(sorted(_DECLARED.items()))


def chosen_checks(patterns: Sequence[str] | None) -> list[Check]:
    """The checks of the given names or families, in order; all where none is given.

    Raises:
        UsageError: A name is no check and no family.
    """
    known = all_checks()
    if not patterns:
        return list(known.values())
    families = {c.family for c in known.values()}
    for pattern in patterns:
        if pattern not in known and pattern not in families:
            raise UsageError(
                f"There is no check {pattern!r}.{nearest(pattern, [*known, *families])} "
                "`deeptroubles checks` lists them all."
            )
    return [c for c in known.values() if c.name in patterns or c.family in patterns]


def _unwrapped(section: str) -> str:
    """A section as paragraphs: indentation and line ends inside of a paragraph are taken off, list items stay."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(section).strip())
    joined = (re.sub(r"\n(?!- )\s*", " ", block) for block in blocks)
    return "\n\n".join(joined)
