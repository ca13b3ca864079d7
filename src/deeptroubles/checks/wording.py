"""Numbers and lists in the sentences of checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line words numbers without loading SciPy
    from deeptroubles.statistics.intervals import Interval


def percent(share: float) -> str:
    """A share as a percentage, with a decimal where whole numbers would hide it."""
    return f"{_hundredths(share)}%"


def percent_interval(interval: Interval) -> str:
    """A share with its interval, such as '42% (95% CI 31% to 54%)'."""
    return f"{percent(interval.value)} (95% CI {percent(interval.low)} to {percent(interval.high)})"


def points(difference: float) -> str:
    """A difference between two shares or probabilities in percentage points: '12 points', '1 point', '0.4 points'."""
    number = _hundredths(difference)
    return f"{number} {'point' if number in {'1', '-1'} else 'points'}"


def points_interval(interval: Interval) -> str:
    """A difference with its interval, such as '12 points (95% CI 4.5 to 20)'."""
    return f"{points(interval.value)} (95% CI {_hundredths(interval.low)} to {_hundredths(interval.high)})"


def _hundredths(share: float) -> str:
    value = 100 * share
    text = f"{value:.1f}" if 0 < abs(value) < 10 and round(value, 1) % 1 else f"{value:.0f}"
    return "0" if text == "-0" else text


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A count with its noun: '1 image', '3 images'. `nouns` is the plural where an s does not make it."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def listed(names: Sequence[str], last: str = "and", *, most: int | None = None) -> str:
    """Names as a sentence lists them: 'a', 'a and b', 'a, b and c'; of more than `most`: 'a, b and 7 more'."""
    if most is not None and len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return f" {last} ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def duration(seconds: float) -> str:
    """A time in the largest unit that fits: '40 seconds', '12 minutes', '3 hours', '5 days'."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return plural(round(seconds / size), unit)
    return plural(max(1, round(seconds)), "second")
