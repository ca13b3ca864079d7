"""Progress bars with the time left, for what takes longer than a second, and only where somebody is watching."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
DELAY = 1.0
"""Seconds after which a bar appears."""


def track(items: Sequence[T], label: str, sizes: Sequence[int] | None = None) -> Iterator[T]:
    """Go through `items`; when that takes longer than a second and the terminal is one, show how far it is.

    Args:
        items: What to go through.
        label: What is being done, in a word or two.
        sizes: How much of the work each item is. Default: one each.
    """
    sizes = sizes or [1] * len(items)
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress, started = Progress(*columns, console=console, transient=True), time.monotonic()
    task = progress.add_task(label, total=sum(sizes))
    try:
        for item, size in zip(items, sizes, strict=True):
            if not progress.live.is_started and time.monotonic() - started > DELAY:
                progress.start()
            yield item
            progress.advance(task, size)
    finally:
        progress.stop()
