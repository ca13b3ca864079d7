"""What a stop works with: how long it may take, its seed, and the networks that several stops share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Workshop:
    """The setting of a tour.

    Attributes:
        quick: Whether everything is kept short.
        seed: Seed of everything random.
    """

    quick: bool = False
    seed: int = 0
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def pick(self, quick: T, full: T) -> T:
        """A setting of the quick version and of the whole one."""
        return quick if self.quick else full

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several stops share, such as a trained network: made by the first that asks."""
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found
