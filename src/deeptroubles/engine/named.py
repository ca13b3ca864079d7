"""From what a person types to an engine."""

from __future__ import annotations

from functools import partial

from deeptroubles.engine.engine import MakeEngine
from deeptroubles.engine.local import LocalEngine
from deeptroubles.errors import UsageError


def engine_named(name: str) -> MakeEngine:
    """The engine of a name: `local`, `ray` (a cluster of this machine's cores) or `ray://HOST:PORT`.

    Raises:
        UsageError: There is no such engine.
        EngineError: When it is made: Ray is not installed, or there is no cluster.
    """
    if name == "local":
        return LocalEngine
    if name == "ray" or name.startswith("ray://"):
        from deeptroubles.engine.ray import RayEngine  # noqa: PLC0415 (only those who name it need it)

        return partial(RayEngine, address=name if name.startswith("ray://") else "")
    raise UsageError(f"There is no engine {name!r}; choose local, ray or ray://HOST:PORT.")
