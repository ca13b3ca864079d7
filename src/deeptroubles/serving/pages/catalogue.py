"""The methods of the catalogue with their settings, from which the page draws forms."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from deeptroubles.methods.catalogue import METHODS, Method, Parameter
from deeptroubles.serving.jobs import Jobs
from deeptroubles.serving.workbench import Workbench

Family = Literal["attribution", "attacks", "transforms", "units"]
NOT_SETTINGS = {"images", "labels", "target", "targets", "against", "batch_size"}
"""Parameters that a page sets in other ways."""


@dataclass(frozen=True, kw_only=True)
class ParameterFacts:
    """A setting of a method; see `deeptroubles.methods.catalogue.Parameter`.

    Attributes:
        name: Its name.
        kind: How it is entered.
        low: The smallest value; null if there is no bound. Likewise `high`.
        above: Whether `low` itself is excluded.
        choices: The allowed values of a choice.
        default: The value that is taken when nothing is given, as text; '' where the method finds one itself.
        description: What it is.
    """

    name: str
    kind: Literal["flag", "whole", "number", "choice", "text"]
    low: float | None
    high: float | None
    above: bool
    choices: list[str]
    default: str
    description: str


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """A method.

    Attributes:
        name: Its name.
        family: Its family.
        summary: What it does, in a line.
        parameters: Its settings.
        takes: The names of all its parameters, also of those that are chosen in other ways.
    """

    name: str
    family: str
    summary: str
    parameters: list[ParameterFacts]
    takes: list[str]


def router(_bench: Workbench, _jobs: Jobs) -> APIRouter:
    """Addresses of the catalogue."""
    at = APIRouter(tags=["catalogue"])

    @at.get("/methods")
    def methods(family: Annotated[Family, Query()]) -> list[MethodFacts]:
        """The methods of a family."""
        return [facts_of(method) for method in METHODS.values() if method.family == family]

    return at


def exported(_bench: Workbench) -> Iterator[str]:
    """What a static copy needs: nothing, since nothing can be computed in it."""
    yield from ()


def settings_of(method: Method) -> dict[str, Parameter]:
    """The parameters of a method that a form can ask for."""
    return {
        name: parameter
        for name, parameter in method.parameters.items()
        if parameter.plain and parameter.default is not inspect.Parameter.empty and name not in NOT_SETTINGS
    }


def facts_of(method: Method) -> MethodFacts:
    """A method as the page gets it."""
    return MethodFacts(
        name=method.name,
        family=method.family,
        summary=method.summary,
        parameters=[_parameter(each) for each in settings_of(method).values()],
        takes=list(method.parameters),
    )


def _parameter(parameter: Parameter) -> ParameterFacts:
    default = "" if parameter.default is None else str(parameter.default)
    return ParameterFacts(
        name=parameter.name,
        kind=_kind(parameter),
        low=parameter.low,
        high=parameter.high,
        above=parameter.above,
        choices=list(parameter.choices),
        default=default.lower() if isinstance(parameter.default, bool) else default,
        description=parameter.description,
    )


def _kind(parameter: Parameter) -> Literal["flag", "whole", "number", "choice", "text"]:
    if parameter.choices:
        return "choice"
    if parameter.plain is int:
        return "whole"
    if parameter.plain is float:
        return "number"
    return "text" if parameter.plain is str else "flag"
