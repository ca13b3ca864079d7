"""From an interval to a verdict: a check's quantity and its two thresholds, in one object so that they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deeptroubles.checks.wording import percent, plural
from deeptroubles.findings import Estimate, Verdict
from deeptroubles.statistics.intervals import Interval

MIN_IMAGES = 10
"""With fewer images no check passes or fails, even where their interval would decide."""
Unit = Literal["share", "number", "probability", "pixels"]


@dataclass(frozen=True)
class Limits:
    """What a check judges. More of it is worse.

    Attributes:
        quantity: The quantity as a noun phrase, such as "the share of images that one pixel breaks".
        warn_at: Above this there is reason to look.
        fail_at: Above this there is a problem.
        note: What else a reader of the criterion must know, such as where the thresholds come from.
        show: How a threshold is written.
    """

    quantity: str
    warn_at: float
    fail_at: float
    note: str = "The thresholds are conventions."
    show: Callable[[float], str] = percent

    def verdict(self, interval: Interval, count: int) -> Verdict:
        """Judge an interval that rests on `count` images."""
        if count < MIN_IMAGES:
            return Verdict.INCONCLUSIVE
        if interval.low > self.fail_at:
            return Verdict.FAIL
        if interval.low > self.warn_at:
            return Verdict.WARN
        return Verdict.PASS if interval.high <= self.fail_at else Verdict.INCONCLUSIVE

    def is_settled(self, interval: Interval) -> bool:
        """Whether more images cannot change the verdict: the interval lies on one side of both thresholds."""
        between = interval.low > self.warn_at and interval.high <= self.fail_at
        return interval.high <= self.warn_at or interval.low > self.fail_at or between

    @property
    def criterion(self) -> str:
        """The rule of `verdict` in words."""
        warn, fail = self.show(self.warn_at), self.show(self.fail_at)
        rule = (
            f"Fails if the 95% interval of {self.quantity} lies above {fail}, warns if it lies above {warn}, and "
            f"passes if it lies at or below {fail}. Inconclusive otherwise, and with fewer than {MIN_IMAGES} images."
        )
        return f"{rule} {self.note}".rstrip()

    def estimate(self, label: str, interval: Interval, count: int, unit: Unit = "share") -> Estimate:
        """The quantity as evidence, beside its thresholds."""
        return replace(estimate(label, interval, count, unit), warn_at=self.warn_at, fail_at=self.fail_at)


def estimate(
    label: str, interval: Interval, count: int, unit: Unit = "share", *, higher_is_worse: bool = True
) -> Estimate:
    """A number as evidence that is not judged."""
    return Estimate(
        label=label,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=count,
        unit=unit,
        higher_is_worse=higher_is_worse,
    )


def few(count: int) -> Sequence[str]:
    """The caveat for a verdict on few images; none where there are enough."""
    return [f"Based on only {plural(count, 'image')}."] if count < 3 * MIN_IMAGES else []
