"""How long commands take that need no model: `python benchmarks/start.py`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 7
COMMANDS = (("--help",), ("checks",), ("methods",), ("help", "reliance.shortcut"))


def seconds(command: tuple[str, ...]) -> float:
    """The time that one run of a command takes, from start to exit."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "deeptroubles", *command], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - started


for command in COMMANDS:
    times = [seconds(command) for _ in range(RUNS)]
    print(f"{' '.join(command):25} minimum {min(times):.2f} s, median {statistics.median(times):.2f} s")
