"""The methods of the four families, with their summaries, and their parameters with types and ranges.

A method is the function with the name of its file, in the folder of its family. Names and docstrings are read from the
source; a method is imported when its function or parameters are first used.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval

from deeptroubles.errors import UsageError, nearest
from deeptroubles.listing import docstring, module_name, modules

FAMILIES = {
    "attribution": "Which parts of an image a prediction depends on.",
    "attacks": "Modifications of images that change predictions.",
    "transforms": "Modifications of images, as checks use them.",
    "units": "What the units of a network respond to.",
}
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method.

    Attributes:
        name: Its name.
        type: Its type, in words.
        default: Its default; `inspect.Parameter.empty` if there is none.
        low: The smallest value; None if there is no bound. Likewise `high`.
        above: Whether `low` itself is excluded.
        choices: The allowed values of a literal type.
        plain: Converts text to a value; None if the type cannot be written as text.
        description: The line of the docstring's Args.
    """

    name: str
    type: str
    default: Any
    low: float | None
    high: float | None
    above: bool
    choices: tuple[str, ...]
    plain: Callable[[str], Any] | None
    description: str

    @property
    def range(self) -> str:
        """The allowed values in words; empty if there is no limit."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return ""

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type lies in the range."""
        if self.choices:
            return value in self.choices
        if self.low is not None and (value <= self.low if self.above else value < self.low):
            return False
        return self.high is None or value <= self.high


@dataclass(frozen=True)
class Method:
    """A method of the catalogue.

    Attributes:
        name: The name of its function and of its file.
        family: The folder of the file, a key of FAMILIES.
        file: The source file.
    """

    name: str
    family: str
    file: Path

    @cached_property
    def docstring(self) -> str:
        """The docstring of its function."""
        return docstring(self.file) or ""

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.docstring.partition("\n")[0]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function; this imports PyTorch."""
        function: Callable[..., Any] = getattr(importlib.import_module(module_name(self.file)), self.name)
        return function

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Its parameters by name, in order."""
        hints = get_type_hints(self.function, include_extras=True)
        lines = _described(self.docstring)
        return {
            name: _parameter(name, hints[name], parameter.default, lines.get(name, ""))
            for name, parameter in inspect.signature(self.function).parameters.items()
        }


METHODS: Mapping[str, Method] = {
    name: Method(name, family, file) for family in FAMILIES for name, file in modules(_HERE / family)
}
"""Every method by its name."""
ATTRIBUTION: Mapping[str, Method] = {name: method for name, method in METHODS.items() if method.family == "attribution"}
"""The methods that return one signed map per image, as drawn by `deeptroubles explain`."""
DEFAULT_ATTRIBUTION = ("grad_cam", "occlusion")
"""Tried in this order where no method is named. Occlusion needs neither layers nor gradients."""


def find_method(name: str, known: Mapping[str, Method] = METHODS) -> Method:
    """A method by its name. Raises UsageError with similar names if there is none."""
    if name not in known:
        raise UsageError(f"There is no method {name!r}.{nearest(name, known)} `deeptroubles methods` lists them.")
    return known[name]


def parse_settings(method: Method, texts: Sequence[str]) -> dict[str, Any]:
    """Settings of a method from texts such as `steps=64`.

    Raises:
        UsageError: The method has no such parameter, or the value is not allowed.
    """
    settings = {}
    known = {name: p for name, p in method.parameters.items() if p.plain and p.default is not inspect.Parameter.empty}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"{method.name} has no setting {name!r}.{nearest(name, known)} Write NAME=VALUE, with one of "
                f"{', '.join(known)}."
            )
        settings[name] = _value(method, known[name], value)
    return settings


def _value(method: Method, parameter: Parameter, text: str) -> Any:
    assert parameter.plain is not None  # noqa: S101 (the caller chose such)
    try:
        value = parameter.plain(text)
    except ValueError:
        value = None
    if value is None or not parameter.allows(value):
        span = f", {parameter.range}" if parameter.range else ""
        raise UsageError(f"{parameter.name}={text} is not allowed by {method.name}: it takes {parameter.type}{span}.")
    return value


def _parameter(name: str, hint: Any, default: Any, description: str) -> Parameter:
    low: float | None = None
    high: float | None = None
    plain: Callable[[str], Any] | None = None
    above, choices, words = False, list[str](), list[str]()
    for part in _alternatives(hint):
        base, *limits = get_args(part) if get_origin(part) is Annotated else (part,)
        for limit in limits:
            if isinstance(limit, Gt):
                low, above = cast("float", limit.gt), True
            elif isinstance(limit, Ge):
                low = cast("float", limit.ge)
            elif isinstance(limit, Interval):
                low, high = cast("float", limit.ge), cast("float", limit.le)
        if get_origin(base) is Literal:
            choices += map(str, get_args(base))
            plain, base = str, str
        elif base in _PLAIN:
            plain = _PLAIN[base]
        if base is not NoneType:
            words.append(getattr(base, "__name__", str(base)))
    return Parameter(
        name=name,
        type=" or ".join(dict.fromkeys(words)),
        default=default,
        low=low,
        high=high,
        above=above,
        choices=tuple(choices),
        plain=plain,
        description=description,
    )


def _alternatives(hint: Any) -> list[Any]:
    """The members of a union; any other type by itself."""
    origin = get_origin(hint)
    return [part for each in get_args(hint) for part in _alternatives(each)] if str(origin) in _UNIONS else [hint]


_UNIONS = {"typing.Union", "<class 'types.UnionType'>", "<class 'typing.Union'>"}


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


_PLAIN: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str, bool: _flag}


def _described(text: str) -> dict[str, str]:
    """The lines of a docstring's Args, by parameter."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n|\n)*)", text + "\n", re.MULTILINE)
    if not section:
        return {}
    entries = re.split(r"^ {4}(?=\S)", section[1], flags=re.MULTILINE)[1:]
    found: dict[str, str] = {}
    for entry in entries:
        names, _, line = entry.partition(":")
        found |= {name.strip("* "): " ".join(line.split()) for name in names.split(",")}
    return found
