"""Looking at no more images than a verdict needs: in random order, in growing batches, until it is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits
from deeptroubles.checks.wording import duration, plural
from deeptroubles.engine import Arrays, Engine, Work
from deeptroubles.findings import Verdict
from deeptroubles.recording import Budget, Recording
from deeptroubles.statistics.anytime_mean import anytime_mean
from deeptroubles.statistics.anytime_share import anytime_share
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.statistics.looking_order import looking_order

FIRST, GROWTH = 64, 1.5
"""Images of the first batch; after each further batch this many times as many have been looked at."""


class Why(StrEnum):
    """Why a check stopped looking."""

    ALL_SEEN = "all seen"
    DECIDED = "decided"
    BUDGET = "budget"


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What was found in the images that were looked at.

    Attributes:
        rows: Their rows, in ascending order. N.
        found: What the work found in them, in this order.
        position: For each of them, when it was looked at: 0 for the first. N.
        of: How many images there are.
        why: Why no more were looked at.
        views: How often each image is shown to the classifier.
        budget: What the check may spend; None: as much as it needs.
    """

    rows: NDArray[np.int64]
    found: Arrays
    position: NDArray[np.int64]
    of: int
    why: Why
    views: float
    budget: Budget | None

    def mean_share(self, shares: NDArray[Any]) -> Interval:
        """The mean of shares in [0, 1], one per row. Where not all images were seen, the interval holds at any stop."""
        if self.why is Why.ALL_SEEN:
            return mean_share(shares)
        anytime = anytime_share if shares.dtype == np.bool_ else anytime_mean
        return anytime(self._in_order(shares))

    def mean_difference(self, differences: NDArray[Any]) -> Interval:
        """The same for differences in [-1, 1]."""
        if self.why is Why.ALL_SEEN:
            return mean_difference(differences)
        return anytime_mean(self._in_order(differences), low=-1.0)

    def verdict(self, limits: Limits, interval: Interval) -> Verdict:
        """Judge an interval. A check that the budget ended never passes."""
        verdict = limits.verdict(interval, len(self.rows))
        return Verdict.INCONCLUSIVE if self.why is Why.BUDGET and verdict is Verdict.PASS else verdict

    @property
    def caveats(self) -> list[str]:
        """How many images were looked at, where these are not all, and why."""
        seen = f"{len(self.rows):,} of {plural(self.of, 'image')} were looked at, in random order"
        if self.why is Why.DECIDED:
            return [f"{seen}, until the verdict was decided; the interval accounts for this early stop."]
        if self.why is Why.BUDGET and self.budget:
            more = duration(self.of * self.views * self.budget.seconds)
            return [f"{seen}, until the time budget of this check was used up; all would take about {more} (--budget)."]
        return []

    def _in_order(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(values, dtype=np.float64)[np.argsort(self.position)]


def look(
    recording: Recording,
    engine: Engine,
    work: Work,
    rows: NDArray[np.int64],
    *,
    judge: Callable[[Looks], Interval],
    limits: Limits,
    views: float,
    task: str,
    seed: int,
    first: int = FIRST,
    chunk: int = 8,
    **settings: Any,
) -> Looks:
    """Do `work` on images until the interval that is judged decides the verdict.

    Args:
        recording: The images and the budget.
        engine: Does the work.
        work: What to do with some rows, see `Engine.map`.
        rows: The rows of the images; all are looked at where that is needed.
        judge: The interval that decides, by `Looks.mean_share` or `Looks.mean_difference`.
        limits: What it is judged by.
        views: How often the work shows an image to the classifier, a gradient counted as three.
        task: What is being done, to show progress.
        seed: Decides the order.
        first: How many images are looked at before anything is decided; fewer where they cost much.
        chunk: How many images are done at a time.
        settings: Passed to `work`.
    """
    order = rows[looking_order(recording.targets[rows], seed)]
    most = recording.budget.images(views, at_least=first) if recording.budget else len(order)
    seen: list[Arrays] = []
    looks = _looks(order[:0], [], len(order), views, recording.budget)
    for start, stop in _stops(len(order), min(most, len(order)), first):
        seen.append(engine.map(work, recording.subject, order[start:stop], task=task, chunk=chunk, **settings))
        looks = _looks(order[:stop], seen, len(order), views, recording.budget)
        if looks.why is not Why.ALL_SEEN and limits.is_settled(judge(looks)):
            return replace(looks, why=Why.DECIDED)
    return looks


def _stops(count: int, most: int, first: int) -> Iterator[tuple[int, int]]:
    """The first and the last image (exclusive) of each batch; a small rest joins the batch before."""
    start, stop = 0, first
    while start < most:
        stop = most if stop * GROWTH >= count or stop >= most else stop
        yield start, stop
        start, stop = stop, round(stop * GROWTH)


def _looks(order: NDArray[np.int64], seen: list[Arrays], of: int, views: float, budget: Budget | None) -> Looks:
    """What was found so far, sorted by row. Unless all images were seen, `why` is the budget: `look` corrects it."""
    position = np.argsort(order, kind="stable")
    joined = {name: np.concatenate([part[name] for part in seen])[position] for name in seen[0]} if seen else {}
    why = Why.ALL_SEEN if len(order) == of else Why.BUDGET
    return Looks(rows=order[position], found=joined, position=position, of=of, why=why, views=views, budget=budget)
