"""Timing for benchmarks: alternating candidates in one process, minimum over rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def best_times(found: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The seconds of the fastest round of each, after a warm-up."""
    for run in found.values():
        run()
    times = dict.fromkeys(found, float("inf"))
    for _ in range(rounds):
        for name, run in found.items():
            started = time.perf_counter()
            run()
            times[name] = min(times[name], time.perf_counter() - started)
    return times
