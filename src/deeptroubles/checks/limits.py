"""From an interval to a verdict, and from numbers to words: the same for every check."""

from __future__ import annotations

from collections.abc import Sequence

from deeptroubles.findings import Verdict
from deeptroubles.statistics.intervals import Interval

ENOUGH = 10
"""With fewer images than this no check passes or fails: an interval alone can be lucky."""


def judge(interval: Interval, count: int, *, warn_at: float, fail_at: float) -> Verdict:
    """Judge a quantity of which more is worse.

    Fail or warn when the whole interval lies above the threshold; pass when the whole interval lies below the fail
    threshold; otherwise the images cannot tell.

    Args:
        interval: The quantity.
        count: How many images it rests on.
        warn_at: Above this there is reason to look.
        fail_at: Above this it is in trouble.
    """
    if count < ENOUGH:
        return Verdict.INCONCLUSIVE
    if interval.low > fail_at:
        return Verdict.FAIL
    if interval.low > warn_at:
        return Verdict.WARN
    return Verdict.PASS if interval.high <= fail_at else Verdict.INCONCLUSIVE


def criterion(what: str, *, warn_at: float, fail_at: float) -> str:
    """The rule of `judge` in words."""
    return (
        f"Fails when {what} is above {percent(fail_at)} with 95 % confidence, warns above {percent(warn_at)}, passes "
        f"when more than {percent(fail_at)} can be ruled out; inconclusive otherwise, and below {ENOUGH} images."
    )


def percent(share: float) -> str:
    """A share as a percentage, with a decimal where whole numbers would hide it."""
    value = 100 * share
    text = f"{value:.1f}" if 0 < abs(value) < 10 and round(value, 1) % 1 else f"{value:.0f}"
    return f"{'0' if text == '-0' else text} %"


def percent_interval(interval: Interval) -> str:
    """A share with its interval, e.g. '42 % (31 to 54 %)'."""
    return f"{percent(interval.value)} ({percent(interval.low).removesuffix(' %')} to {percent(interval.high)})"


def few(count: int) -> Sequence[str]:
    """The caveat for a verdict on few images."""
    return [f"It rests on {count} image{'s' if count != 1 else ''}."] if count < 3 * ENOUGH else []
