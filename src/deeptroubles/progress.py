"""Progress: work reports how far it is, and a sink shows it: a bar on a terminal, lines in a log, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")
DELAY = 1.0
"""Seconds after which a bar appears."""
EVERY = 30.0
"""Seconds between two lines of a log about the same task."""


class Sink(Protocol):
    """Where progress goes."""

    def stage(self, name: str, detail: str) -> None:
        """A stage of the work begins, such as a check with its question."""

    def concluded(self, name: str, outcome: str, seconds: float) -> None:
        """A stage is over: what came out, in a word, and how long it took."""

    def time_left(self, seconds: float) -> None:
        """About how long all stages that are left will take."""

    def progress(self, task: str, done: int, total: int) -> None:
        """`done` of `total` of a task are done; called first with 0."""

    def finished(self, task: str) -> None:
        """A task is over, done or interrupted."""


class Silent:
    """Shows nothing."""

    def stage(self, name: str, detail: str) -> None: ...
    def concluded(self, name: str, outcome: str, seconds: float) -> None: ...
    def time_left(self, seconds: float) -> None: ...
    def progress(self, task: str, done: int, total: int) -> None: ...
    def finished(self, task: str) -> None: ...


class _Bars(Progress):
    """Bars, and below them a line with the time left for all stages."""

    below = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bars and the line."""
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, style="dim")


class TerminalBars:
    """A line about each stage that is over, and bars with the time left for tasks that take longer than a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: _Bars | None = None
        self._end: float | None = None
        self._tasks: dict[str, tuple[TaskID, float]] = {}
        self._stage = ""

    def stage(self, name: str, detail: str) -> None:
        self._stage = f"{name}: "

    def concluded(self, name: str, outcome: str, seconds: float) -> None:
        self._stage = ""
        _say(self._console, _conclusion(name, outcome, seconds))

    def time_left(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def progress(self, task: str, done: int, total: int) -> None:
        if self._bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = _Bars(*columns, console=self._console, transient=True)
        if self._end is not None:
            self._bars.below = f"Total: {_about(self._end - time.monotonic())} left"
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(f"{self._stage}{task}", total=total), time.monotonic()
        bar, started = self._tasks[task]
        self._bars.update(bar, completed=done)
        if not self._bars.live.is_started and time.monotonic() - started > DELAY:
            self._bars.start()

    def finished(self, task: str) -> None:
        if self._bars is None or task not in self._tasks:
            return
        self._bars.remove_task(self._tasks.pop(task)[0])
        if not self._tasks:
            self._bars.stop()
            self._bars = None


class LogLines:
    """A line about each stage that is over, and every half a minute about a task, for output that goes to a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[float, float]] = {}
        self._said_left = time.monotonic()
        self._stage = ""

    def stage(self, name: str, detail: str) -> None:
        self._stage = f"{name}: "

    def concluded(self, name: str, outcome: str, seconds: float) -> None:
        self._stage = ""
        _say(self._console, _conclusion(name, outcome, seconds))

    def time_left(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._said_left >= EVERY:
            self._said_left = now
            _say(self._console, f"Total: {_about(seconds)} left")

    def progress(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        started, said = self._said.setdefault(task, (now, now))
        if now - said >= EVERY:
            self._said[task] = started, now
            left = (now - started) * (total - done) / done if done else float("nan")
            remaining = f", about {left:.0f} s left" if done else ""
            _say(self._console, f"{self._stage}{task}: {done} of {total}{remaining}")

    def finished(self, task: str) -> None:
        self._said.pop(task, None)


def _conclusion(name: str, outcome: str, seconds: float) -> str:
    """The line about a stage that is over, in columns."""
    return f"{name:<32}  {outcome:<12}  {seconds:6.1f} s"


def _about(seconds: float) -> str:
    """A time in words."""
    if seconds < 5:
        return "a few seconds"
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


_SINK: ContextVar[Sink | None] = ContextVar("sink", default=None)


@contextmanager
def reporting_to(sink: Sink) -> Iterator[None]:
    """Send all progress inside of the block to a sink. Default elsewhere: bars on a terminal, nothing otherwise."""
    token = _SINK.set(sink)
    try:
        yield
    finally:
        _SINK.reset(token)


def current_sink() -> Sink:
    """The sink that progress goes to here."""
    return _SINK.get() or (TerminalBars(Console(stderr=True)) if sys.stderr.isatty() else Silent())


_WATCHER: ContextVar[Callable[[Any, Any], None] | None] = ContextVar("watcher", default=None)


@contextmanager
def watching(watcher: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call `watcher(pixels, logits)` for every batch that a classifier is shown inside of the block."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def shown(pixels: Any, logits: Any) -> None:
    """Report to the watcher that a classifier was shown a batch (N x C x H x W) and gave these logits (N x K)."""
    watcher = _WATCHER.get()
    if watcher:
        watcher(pixels, logits)


def track(items: Sequence[T], task: str, sizes: Sequence[int] | None = None) -> Generator[T, None, None]:
    """Go through `items` and report how many are done.

    Args:
        items: What to go through.
        task: What is being done, in a word or two.
        sizes: How much of the work each item is. Default: one each.
    """
    sizes = sizes or [1] * len(items)
    sink, done, total = current_sink(), 0, sum(sizes)
    try:
        for item, size in zip(items, sizes, strict=True):
            sink.progress(task, done, total)
            yield item
            done += size
    finally:
        sink.finished(task)
