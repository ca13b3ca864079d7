"""The range that all images of a set share, found when the first image with more than 8 bits is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property

from deeptroubles.errors import UnreadableImageError
from deeptroubles.images.decoding import Stored, extent
from deeptroubles.images.depth import Extent, ValueRange, common_range
from deeptroubles.images.patience import do_each
from deeptroubles.progress import track

_searching = threading.Lock()
_AT_ONCE = 64
"""Images between two reports of progress."""


class CommonRange:
    """Which values are black and white in all images of a set that have more than 8 bits.

    Args:
        fetch: Gives each image as it is stored.
        count: How many there are.
        given: The range, where a person said it.
    """

    def __init__(self, fetch: Callable[[int], Stored], count: int, given: ValueRange | None = None) -> None:
        self._fetch, self._count, self.given = fetch, count, given

    @property
    def found(self) -> ValueRange | None:
        """The range; None if no image has more than 8 bits and none was given. One thread searches for all."""
        if self.given:
            return self.given
        with _searching:
            return self._found

    @cached_property
    def _found(self) -> ValueRange | None:
        seen = []
        for start in track(range(0, self._count, _AT_ONCE), "Reading the range of values"):
            rows = range(start, min(start + _AT_ONCE, self._count))
            seen += do_each(self._extent, rows, lambda _: None)
        known = [each for each in seen if each is not None]
        return common_range(known) if known else None

    def _extent(self, row: int) -> Extent | None:
        try:
            return extent(self._fetch(row))
        except UnreadableImageError:
            return None
