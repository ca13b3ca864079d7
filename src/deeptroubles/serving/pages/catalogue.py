"""The methods that the pages offer, with forms for their settings: what the catalogue reads from their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter

from deeptroubles.methods.catalogue import METHODS, Method, Parameter
from deeptroubles.serving.jobs import Jobs
from deeptroubles.serving.workbench import Workbench

Family = Literal["attribution", "attacks", "transforms", "units"]
NOT_ASKED = {"batch_size"}
"""Settings that change nothing but the speed."""


@dataclass(frozen=True, kw_only=True)
class ParameterFacts:
    """A setting of a method, as in `deeptroubles.methods.catalogue`. `default` is null where it is not fixed."""

    name: str
    type: str
    default: bool | int | float | str | None
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    description: str


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """A method.

    Attributes:
        name: Its name.
        summary: What it does, in a sentence.
        takes: The names of all its parameters.
        parameters: Those that can be set in a form.
    """

    name: str
    summary: str
    takes: tuple[str, ...]
    parameters: tuple[ParameterFacts, ...]


def router(_bench: Workbench, _jobs: Jobs) -> APIRouter:
    """Addresses of the catalogue."""
    at = APIRouter(tags=["catalogue"])

    @at.get("/methods")
    def methods(family: Family) -> list[MethodFacts]:
        """The methods of a family."""
        return [_facts(method) for method in METHODS.values() if method.family == family]

    return at


def exported(_bench: Workbench) -> Iterator[str]:
    """Nothing: a static copy runs no method."""
    yield from ()


def _facts(method: Method) -> MethodFacts:
    return MethodFacts(
        name=method.name,
        summary=method.summary,
        takes=tuple(method.parameters),
        parameters=tuple(_parameter(p) for p in method.parameters.values() if _is_setting(p)),
    )


def _is_setting(parameter: Parameter) -> bool:
    fixed = parameter.default is not inspect.Parameter.empty
    return fixed and parameter.plain is not None and parameter.name not in NOT_ASKED and not _is_class(parameter)


def _is_class(parameter: Parameter) -> bool:
    """Classes are chosen by name, not in the form."""
    return parameter.name in {"labels", "target", "targets", "against"}


def _parameter(parameter: Parameter) -> ParameterFacts:
    plain = isinstance(parameter.default, bool | int | float | str)
    return ParameterFacts(
        name=parameter.name,
        type=parameter.type,
        default=parameter.default if plain else None,
        low=parameter.low,
        high=parameter.high,
        choices=parameter.choices,
        description=parameter.description,
    )
