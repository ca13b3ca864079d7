"""How a check is declared, found and described."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from deeptroubles.checks.options import LABELS, Need, Option
from deeptroubles.errors import UsageError, nearest
from deeptroubles.findings import Finding, Guide
from deeptroubles.listing import docstring, module_name, modules

if TYPE_CHECKING:
    from deeptroubles.engine import Engine
    from deeptroubles.recording import Recording
    from deeptroubles.run.folder import RunFolder

HERE = Path(__file__).parent
SECTIONS = ("What it asks", "Why it matters", "How to read it", "Limits", "References")
"""The sections of every check's docstring, in this order."""
FAMILIES = ("data", "performance", "reliance", "fairness", "stability", "units", "mitigation", "adversarial")
"""The order in which checks run and are listed: what a person wants to know first comes first."""


class Result(Protocol):
    """What a check measured; a frozen dataclass."""

    def findings(self) -> Iterable[Finding]:
        """Judge what was measured."""
        ...


@runtime_checkable
class Keeper(Protocol):
    """A result that leaves more than its findings in the run folder."""

    def keep(self, folder: RunFolder) -> None:
        """Write it."""
        ...


class CheckFunction(Protocol):
    """A check: reads a recording, has work done by an engine, draws randomness from a seed only."""

    __module__: str
    __doc__: str | None

    def __call__(self, recording: Recording, engine: Engine, *, seed: int) -> Result: ...  # noqa: D102


@dataclass(frozen=True)
class Check:
    """A question that can be asked of any classifier and its images.

    Attributes:
        name: `family.name`.
        function: Asks it.
        needs: What it cannot do without.
        options: What else it takes from the user.
        on_request: It is asked only when it, or its family, is named.
        common: A problem that it finds is one of nearly every network that was not trained against it.
        always: It is asked in every audit; where it is not named, its finding is kept only if it is no pass.
    """

    name: str
    function: CheckFunction
    needs: tuple[Need | Option[Any], ...] = ()
    options: tuple[Option[Any], ...] = ()
    on_request: bool = False
    common: bool = False
    always: bool = False

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def needs_labels(self) -> bool:
        """Whether it cannot do without the classes of images."""
        return LABELS in self.needs

    @property
    def takes(self) -> tuple[Option[Any], ...]:
        """All options that it reads."""
        return (*(need for need in self.needs if isinstance(need, Option)), *self.options)

    def missing(self, recording: Recording) -> str:
        """What to add so that the check can be asked; '' when it has all it needs."""
        return ", and ".join(need.to_add for need in self.needs if not need.met(recording))

    @property
    def guide(self) -> Guide:
        """The docstring, section by section. Raises ValueError as `read_guide` does."""
        return read_guide(self.name, self.function.__doc__ or "")


def read_guide(name: str, text: str) -> Guide:
    """The docstring of a check, section by section.

    Raises:
        ValueError: A section is missing.
    """
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", cleandoc(text), flags=re.MULTILINE)
    if tuple(parts[1::2]) != SECTIONS:
        raise ValueError(f"The docstring of {name} needs the sections {', '.join(SECTIONS)}, in this order.")
    question, asks, matters, reading, limits, references = (_unwrapped(part) for part in parts[::2])
    return Guide(question=question, asks=asks, matters=matters, reading=reading, limits=limits, references=references)


F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_DECLARED: dict[str, Check] = {}


def check(
    name: str,
    *,
    needs: Iterable[Need | Option[Any]] = (),
    options: Iterable[Option[Any]] = (),
    on_request: bool = False,
    common: bool = False,
    always: bool = False,
) -> Callable[[F], F]:
    """Declare a check.

    Args:
        name: `family.name`.
        needs: What it cannot do without: `LABELS`, `MASKS` or options of `deeptroubles.checks.options`.
        options: Options that it takes and can do without.
        on_request: Ask it only when it, or its family, is named.
        common: A problem that it finds is one of nearly every network that was not trained against it.
        always: Ask it in every audit, and keep what it finds there only if it is no pass.
    """

    def declare(function: F) -> F:
        _DECLARED[name] = Check(name, function, tuple(needs), tuple(options), on_request, common, always)
        return function

    return declare


def check_files() -> Iterator[tuple[str, Path]]:
    """The names and files of this package's checks, found by listing the folders."""
    for family in sorted(path for path in HERE.iterdir() if (path / "__init__.py").is_file()):
        yield from ((f"{family.name}.{name}", file) for name, file in modules(family))


def check_docstrings() -> Mapping[str, str]:
    """The docstring of every check by its name, read without importing this package's checks."""
    found = {name: docstring(file) or "" for name, file in check_files()}
    _load_others()
    return _in_order(found | {name: cleandoc(check.function.__doc__ or "") for name, check in _DECLARED.items()})


@cache
def all_checks() -> dict[str, Check]:
    """All checks by name, in the order of FAMILIES."""
    for _, file in check_files():
        importlib.import_module(module_name(file))
    _load_others()
    return _in_order(_DECLARED)


def _in_order(by_name: Mapping[str, T]) -> dict[str, T]:
    """Sort by family and name; families of other packages come before the last of ours."""
    known = {family: place for place, family in enumerate(FAMILIES)}

    def place(name: str) -> tuple[float, str]:
        return known.get(name.partition(".")[0], len(FAMILIES) - 1.5), name

    return {name: by_name[name] for name in sorted(by_name, key=place)}


def _load_others() -> None:
    """Import the checks that other packages bring."""
    for entry in entry_points(group="deeptroubles.checks"):
        entry.load()


def chosen_checks(patterns: str | Sequence[str] | None, skip: str | Sequence[str] = ()) -> list[Check]:
    """The checks of the given names or families (or of one), in order; where none is given, all but those on request.

    Args:
        patterns: Names or families to choose.
        skip: Names or families to leave out.

    Raises:
        UsageError: A name is no check and no family, or no check is left.
    """
    known = all_checks()
    patterns = [patterns] if isinstance(patterns, str) else patterns
    skip = [skip] if isinstance(skip, str) else skip
    refuse_unknown([*(patterns or ()), *skip], known)
    chosen = [c for c in known.values() if (named(c.name, patterns) if patterns else not c.on_request)]
    left = [c for c in chosen if not named(c.name, skip)]
    if not left:
        raise UsageError("No check is left to run; name fewer with --skip, or others with --checks.")
    return left


def named(check: str, patterns: Sequence[str]) -> bool:
    """Whether a check, or its family, is among names."""
    return check in patterns or check.partition(".")[0] in patterns


def refuse_unknown(patterns: Sequence[str], known: Iterable[str]) -> None:
    """Refuse a name that is no check among `known` and no family of theirs. Raises UsageError."""
    names = set(known)
    there = [*names, *{name.partition(".")[0] for name in names}]
    for pattern in patterns:
        if pattern not in there:
            raise UsageError(
                f"There is no check {pattern!r}.{nearest(pattern, there)} `deeptroubles checks` lists them all."
            )


def _unwrapped(section: str) -> str:
    """A section as paragraphs: indentation and line ends inside of a paragraph are removed, list items stay."""
    blocks = re.split(r"\n\s*\n", cleandoc(section).strip())
    joined = (re.sub(r"\n(?!- )\s*", " ", block) for block in blocks)
    return "\n\n".join(joined)
