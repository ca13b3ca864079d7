"""Anytime-valid intervals: how wide beside the ordinary ones, and after how many looks do they decide?

Run `python benchmarks/sequences.py`; about two minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.statistics.anytime_gap import anytime_gap
from deeptroubles.statistics.anytime_mean import anytime_mean
from deeptroubles.statistics.anytime_quantile import anytime_quantile
from deeptroubles.statistics.anytime_share import anytime_share
from deeptroubles.statistics.intervals import Interval, mean_share, share_difference, wilson
from deeptroubles.statistics.robbins_mixture import log_capital

COUNTS = (30, 100, 300, 1000)
THRESHOLDS = (0.05, 0.15)
MOST_LOOKS, RUNS, ORDERS = 20_000, 400, 20


def main() -> None:
    """Print all tables."""
    widths()
    gaps()
    looks()
    seconds()


def widths() -> None:
    """Width beside Wilson's for the same outcomes, mean over random orders."""
    print("\nWidth / Wilson's width after n outcomes\n")
    row("form", "share", *(f"n = {n}" for n in COUNTS))
    forms: dict[str, Callable[[NDArray[Any]], Interval]] = {
        "anytime_share": anytime_share,
        "anytime_share, of 2,000 images": lambda x: anytime_share(x, population=2000),
        "anytime_mean": anytime_mean,
        "anytime_mean, of 2,000 images": lambda x: anytime_mean(x, population=2000),
    }
    for name, form in forms.items():
        for share in (0.0, 0.02, 0.1, 0.5):
            row(name, f"{share:g}", *(f"{ratio(form, share, count):.2f}" for count in COUNTS))


def ratio(form: Callable[[NDArray[Any]], Interval], share: float, count: int) -> float:
    """The form's width by Wilson's."""
    outcomes = np.arange(count) < round(share * count)
    random = np.random.default_rng(0)
    ours = np.mean([width(form(random.permutation(outcomes))) for _ in range(ORDERS)])
    return float(ours / width(wilson(int(outcomes.sum()), count)))


def gaps() -> None:
    """Width of the gap beside Newcombe's interval."""
    print("\nWidth / width of Newcombe's interval for the difference of two shares\n")
    row("shares", "images", "anytime_gap", "two intervals at half of alpha each")
    for shares in ((0.0, 0.0), (0.05, 0.05), (0.3, 0.3), (0.1, 0.4)):
        for sizes in ((100, 100), (500, 500), (100, 1000)):
            random, ours, apart, fixed = np.random.default_rng(0), [], [], []
            for _ in range(ORDERS):
                first, second = (random.random(n) < p for n, p in zip(sizes, shares, strict=True))
                ours.append(width(anytime_gap(first, second, sizes)))
                apart.append(sum(width(anytime_share(x, 0.975)) for x in (first, second)))
                fixed.append(width(share_difference(*(wilson(int(x.sum()), len(x)) for x in (first, second)))))
            row(
                f"{shares[0]:g}, {shares[1]:g}",
                f"{sizes[0]}, {sizes[1]}",
                *(f"{sum(x) / sum(fixed):.2f}" for x in (ours, apart)),
            )


def looks() -> None:
    """The median number of outcomes until the interval excludes a threshold, and until it gives a verdict."""
    print(f"\nOutcomes until the interval excludes a threshold (median of {RUNS} runs, at most {MOST_LOOKS:,})\n")
    row(
        "true share", *(f"{kind}, {t:g}" for t in THRESHOLDS for kind in ("anytime_share", "Wilson's, n chosen before"))
    )
    for share in (0.0, 0.01, 0.05, 0.1, 0.2, 0.4):
        cells = []
        for threshold in THRESHOLDS:
            cells += [shown(np.median(list(stops(share, threshold)))), shown(planned(share, threshold))]
        row(f"{share:g}", *cells)


def stops(share: float, threshold: float) -> Iterable[int]:
    """When each run excludes the threshold: its capital against it first reaches 20."""
    random, trials = np.random.default_rng(0), np.arange(1, MOST_LOOKS + 1)
    for _ in range(RUNS if share > 0 else 1):
        counts = np.cumsum(random.random(MOST_LOOKS) < share)
        out = log_capital(counts, trials, np.full(MOST_LOOKS, threshold)) >= np.log(20)
        yield int(out.argmax()) + 1 if out.any() else MOST_LOOKS + 1


def planned(share: float, threshold: float) -> int:
    """The smallest number of outcomes with which Wilson's interval of just this share excludes the threshold."""
    for count in range(1, MOST_LOOKS + 1):
        _, low, high = mean_share(np.full(count, share))
        if not low <= threshold <= high:
            return count
    return MOST_LOOKS + 1


def seconds() -> None:
    """Milliseconds for 2,000 values."""
    print("\nMilliseconds for 2,000 values (best of 5)\n")
    random = np.random.default_rng(0)
    values = random.random(2000)
    calls: dict[str, Callable[[], object]] = {
        "anytime_share": lambda: anytime_share(values < 0.1),
        "anytime_mean": lambda: anytime_mean(values),
        "anytime_quantile": lambda: anytime_quantile(values),
        "anytime_gap": lambda: anytime_gap(values, values[::-1]),
    }
    row("form", "ms")
    for name, call in calls.items():
        times = []
        for _ in range(5):
            start = perf_counter()
            call()
            times.append(perf_counter() - start)
        row(name, f"{1000 * min(times):.0f}")


def width(interval: Interval) -> float:
    """From end to end."""
    return interval.high - interval.low


def shown(count: float) -> str:
    """A number of outcomes."""
    return f"> {MOST_LOOKS:,}" if count > MOST_LOOKS else f"{count:.0f}"


def row(*cells: str) -> None:
    """One row of a table."""
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
