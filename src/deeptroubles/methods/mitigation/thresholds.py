"""Thresholds for one class against the rest: one for all groups, or one of each that makes groups alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Strategy = Literal["single", "per group", "demographic parity", "equal opportunity", "equal accuracy"]

STRATEGIES: tuple[Strategy, ...] = ("single", "per group", "demographic parity", "equal opportunity", "equal accuracy")
LEVELS = 201
"""So many common levels of a rate are tried."""
TOLERANCE = 0.02
"""Groups whose rates differ by no more than this are alike; groups that cannot be are made as alike as they can."""


@dataclass(frozen=True)
class _Cuts:
    """What each threshold of one group would do.

    Attributes:
        at: T thresholds, from none to all images answered with the class.
        rate: T, the rate that groups should be alike in.
        cost: T, of all mistakes.
    """

    at: Floats
    rate: Floats
    cost: Floats


def choose_thresholds(
    strategy: Strategy,
    scores: Floats,
    positive: NDArray[np.bool_],
    groups: NDArray[np.integer],
    *,
    cost_ratio: float = 1.0,
) -> Floats:
    """The threshold of each group: an image is answered with the class when its score is at least as high.

    A strategy says what groups must be alike in; of all thresholds that do so, the cheapest are taken. Where groups
    cannot be made alike within TOLERANCE, those that are most alike are.

    Args:
        strategy: `single`: one threshold for all. `per group`: the cheapest of each group. `demographic parity`: the
            class is answered equally often. `equal opportunity`: equal true-positive rates. `equal accuracy`.
        scores: N, e.g. the probability of the class.
        positive: N, whether the image is of the class.
        groups: N, from 0 to G - 1; every group has images.
        cost_ratio: What a false positive costs when a false negative costs 1.

    Returns:
        G thresholds; infinity where the class is never answered.

    References:
        M. Hardt, E. Price, N. Srebro: Equality of Opportunity in Supervised Learning, NeurIPS 2016; J. Wexler et al.:
        The What-If Tool, IEEE TVCG 2020 (the strategies).
    """
    kinds = int(groups.max()) + 1
    if strategy == "single":
        together = _cuts(scores, positive, cost_ratio, _answered)
        return np.full(kinds, together.at[together.cost.argmin()])
    rate = _RATES[strategy]
    cuts = [_cuts(scores[groups == g], positive[groups == g], cost_ratio, rate) for g in range(kinds)]
    if strategy == "per group":
        return np.array([cut.at[cut.cost.argmin()] for cut in cuts])
    best: tuple[float, float] | None = None
    chosen = np.zeros(kinds)
    for level in np.linspace(0, 1, LEVELS):
        picks = [_nearest(cut, float(level)) for cut in cuts]
        rates = [cut.rate[pick] for cut, pick in zip(cuts, picks, strict=True)]
        cost = float(sum(cut.cost[pick] for cut, pick in zip(cuts, picks, strict=True)))
        rank = (max(TOLERANCE, float(np.ptp(rates))), cost)
        if best is None or rank < best:
            best = rank
            chosen = np.array([cut.at[pick] for cut, pick in zip(cuts, picks, strict=True)])
    return chosen


def cost_of(answered: NDArray[np.bool_], positive: NDArray[np.bool_], cost_ratio: float) -> Floats:
    """What each answer costs: 1 for a false negative, `cost_ratio` for a false positive, 0 for a right one. N."""
    return np.where(answered & ~positive, cost_ratio, (~answered & positive).astype(np.float64))


def _nearest(cut: _Cuts, level: float) -> int:
    """The cheapest of the thresholds whose rate is nearest to a level, or within half the tolerance of it."""
    off = np.maximum(np.abs(cut.rate - level), TOLERANCE / 2)
    return int(np.lexsort((cut.cost, off.round(12)))[0])


def _cuts(
    scores: Floats, positive: NDArray[np.bool_], cost_ratio: float, rate: Callable[[Floats, Floats], Floats]
) -> _Cuts:
    """All thresholds that tell images apart: infinity, then halfway between neighbouring scores, from the highest."""
    order = np.argsort(-scores, kind="stable")
    ordered, true = scores[order], positive[order].astype(np.float64)
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    lower = np.append(ordered[ends[1:]], ordered[-1])
    at = np.concatenate([[np.inf], (ordered[ends] + lower) / 2])
    hits = np.concatenate([[0], np.cumsum(true)[ends]])
    false = np.concatenate([[0], np.cumsum(1 - true)[ends]])
    share, wrong = hits / max(1.0, true.sum()), false / max(1.0, (1 - true).sum())
    base = float(true.mean())
    return _Cuts(
        at, rate(np.stack([share, wrong]), np.array([base, 1 - base])), (true.sum() - hits) + cost_ratio * false
    )


def _answered(rates: Floats, mix: Floats) -> Floats:
    """How often the class is answered, from true- and false-positive rates and the shares of positives and others."""
    return np.asarray(mix @ rates)


def _hit(rates: Floats, _: Floats) -> Floats:
    return np.asarray(rates[0])


def _right(rates: Floats, mix: Floats) -> Floats:
    return np.asarray(mix[0] * rates[0] + mix[1] * (1 - rates[1]))


_RATES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "per group": _answered,
    "demographic parity": _answered,
    "equal opportunity": _hit,
    "equal accuracy": _right,
}
