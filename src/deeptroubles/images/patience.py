"""Reading images from where a read may fail for a moment, or never end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from deeptroubles.errors import DeeptroublesError, ImagesError

T = TypeVar("T")
LIMIT = 120.0
"""Seconds that one image may take to be read and decoded."""
PAUSES = (0.1, 0.5, 2.0)
"""Seconds before a read that failed is tried again."""
_LOOK = 0.2
"""Seconds between two looks at whether an image takes too long."""


def too_late() -> str:
    """Why an image that took too long cannot be read."""
    return f"reading it took more than {LIMIT:.0f} seconds"


def out_of_reach(error: FileNotFoundError | PermissionError) -> str:
    """Why an image cannot be read that is missing or forbidden."""
    missing = isinstance(error, FileNotFoundError)
    return "there is no such file" if missing else "reading it is not permitted"


def patiently(read: Callable[[], T], what: str) -> T:
    """Read, and try again where that fails for a moment.

    Args:
        read: Reads.
        what: What is read, for the error.

    Raises:
        FileNotFoundError: There is nothing.
        PermissionError: It is forbidden.
        ImagesError: Every attempt failed.
    """
    for pause in (*PAUSES, None):
        try:
            return read()
        except (FileNotFoundError, PermissionError, DeeptroublesError):
            raise
        except Exception as error:  # drivers raise what they like
            if pause is None:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
                raise ImagesError(
                    f"{what} could not be read in {len(PAUSES) + 1} attempts ({reason}); run the same command again "
                    "when it can be reached."
                ) from error
            time.sleep(pause)
    raise AssertionError  # the last attempt returns or raises


def do_each(do: Callable[[int], T], rows: Sequence[int], late: Callable[[int], T], *, threads: int = 1) -> list[T]:
    """Do something with each row, in threads; what takes more than `LIMIT` seconds is given up.

    Nothing can end a thread that hangs. It is left behind, and another one takes its place.

    Args:
        do: What to do with a row. What it raises is raised here.
        rows: The rows.
        late: What counts as the result for a row that took too long.
        threads: How many rows are worked on at once.

    Returns:
        The results in the order of the rows.
    """
    work = _Work(do, deque(enumerate(rows)))
    readers = {_Reader(work) for _ in range(min(threads, len(rows)))}
    try:
        while readers:
            try:
                ended = work.ended.get(timeout=_LOOK)
                readers.discard(ended)
                if ended.failure and not ended.given_up:
                    raise ended.failure
            except Empty:
                for hanging in [reader for reader in readers if reader.gave_up(late)]:
                    readers.remove(hanging)
                    readers.add(_Reader(work))
    finally:
        work.todo.clear()
    return [work.results[place] for place in range(len(rows))]


class _Work(Generic[T]):
    """What the readers share."""

    def __init__(self, do: Callable[[int], T], todo: deque[tuple[int, int]]) -> None:
        self.do, self.todo = do, todo
        self.results: dict[int, T] = {}
        self.ended: SimpleQueue[_Reader[T]] = SimpleQueue()
        self.lock = threading.Lock()


class _Reader(threading.Thread, Generic[T]):
    """Takes rows from the common list until none is left."""

    def __init__(self, work: _Work[T]) -> None:
        super().__init__(daemon=True)  # the process can end while it hangs
        self._work = work
        self._context = copy_context()  # in which progress goes where the caller's goes
        self._busy: tuple[int, int, float] | None = None
        self.given_up = False
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Work, and say that it is over."""
        try:
            self._context.run(self._take_rows)
        except BaseException as error:  # noqa: BLE001 (the caller's thread raises it)
            self.failure = error
        self._work.ended.put(self)

    def _take_rows(self) -> None:
        work = self._work
        while not self.given_up:
            try:
                place, row = work.todo.popleft()
            except IndexError:
                return
            self._busy = place, row, time.monotonic()
            result = work.do(row)
            with work.lock:
                if not self.given_up:
                    work.results[place] = result
                    self._busy = None

    def gave_up(self, late: Callable[[int], T]) -> bool:
        """Give its row up if it takes too long; whether it does."""
        with self._work.lock:
            if self._busy is None or time.monotonic() - self._busy[2] < LIMIT:
                return False
            place, row, _ = self._busy
            self._work.results[place] = late(row)
            self.given_up = True
            return True
