"""Thresholds for one class against the rest: one for all groups, or one per group that equalizes a rate."""

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
"""The number of levels of a rate that are tried."""
TOLERANCE = 0.02
"""Rates that differ by at most this are equal."""


@dataclass(frozen=True)
class _Cuts:
    """The effect of each threshold of one group.

    Attributes:
        at: T thresholds, from none to all images predicted as the class.
        rate: T, the rate to equalize.
        cost: T, the cost of all mistakes.
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
    """The threshold of each group: an image is predicted as the class if its score is at least as high.

    A strategy says which rate to equalize; of all thresholds that do so, the cheapest are chosen. If rates cannot be
    equal within TOLERANCE, the thresholds with the smallest difference are chosen.

    Args:
        strategy: `single`: one threshold for all. `per group`: the cheapest of each group. `demographic parity`: the
            class is predicted equally often. `equal opportunity`: equal true-positive rates. `equal accuracy`.
        scores: N, e.g. the probability of the class.
        positive: N, whether the image is of the class.
        groups: N, from 0 to G - 1; every group has images.
        cost_ratio: What a false positive costs when a false negative costs 1.

    Returns:
        G thresholds; infinity where the class is never predicted.

    References:
        M. Hardt, E. Price, N. Srebro: Equality of Opportunity in Supervised Learning, NeurIPS 2016; J. Wexler et al.:
        The What-If Tool, IEEE TVCG 2020 (the strategies).
    """
    kinds = int(groups.max()) + 1
    if strategy == "single":
        cut = _cuts(scores, positive, cost_ratio, _positive_rate)
        return np.full(kinds, cut.at[cut.cost.argmin()])
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


def cross_fitted(
    strategy: Strategy,
    scores: Floats,
    positive: NDArray[np.bool_],
    groups: NDArray[np.integer],
    *,
    cost_ratio: float = 1.0,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Whether each image is predicted as the class by thresholds that were chosen on the other half of the images.

    So every image is measured, and none by thresholds that it was chosen for. Halves have as many images of each kind
    of each group, as far as numbers are even.

    Args:
        strategy: As `choose_thresholds` takes it.
        scores: N.
        positive: N, whether the image is of the class.
        groups: N, from 0 to G - 1; at least two images of each.
        cost_ratio: What a false positive costs when a false negative costs 1.
        seed: Seed of the halves.

    Returns:
        N.
    """
    first = _first_half(positive, groups, seed)
    predicted = np.zeros(len(scores), dtype=bool)
    for measured in (first, ~first):
        chosen = choose_thresholds(
            strategy, scores[~measured], positive[~measured], groups[~measured], cost_ratio=cost_ratio
        )
        predicted[measured] = scores[measured] >= chosen[groups[measured]]
    return predicted


def _first_half(positive: NDArray[np.bool_], groups: NDArray[np.integer], seed: int) -> NDArray[np.bool_]:
    """Every other image of each group in random order, those of the class first."""
    order = np.random.default_rng(seed).permutation(len(groups))
    order = order[np.lexsort((positive[order], groups[order]))]
    starts = np.searchsorted(groups[order], groups[order])
    first = np.zeros(len(groups), dtype=bool)
    first[order[(np.arange(len(order)) - starts) % 2 == 0]] = True
    return first


def cost_of(predicted: NDArray[np.bool_], positive: NDArray[np.bool_], cost_ratio: float) -> Floats:
    """The cost of each prediction: 1 for a false negative, `cost_ratio` for a false positive, 0 if correct. N."""
    return np.where(predicted & ~positive, cost_ratio, (~predicted & positive).astype(np.float64))


def _nearest(cut: _Cuts, level: float) -> int:
    """The cheapest of the thresholds whose rate is nearest to a level, or within half the tolerance of it."""
    off = np.maximum(np.abs(cut.rate - level), TOLERANCE / 2).round(12)
    return int(np.where(off == off.min(), cut.cost, np.inf).argmin())


def _cuts(
    scores: Floats, positive: NDArray[np.bool_], cost_ratio: float, rate: Callable[[Floats, Floats], Floats]
) -> _Cuts:
    """All thresholds that separate images: infinity, then halfway between adjacent scores, from the highest."""
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


def _positive_rate(rates: Floats, mix: Floats) -> Floats:
    """How often the class is predicted, from true- and false-positive rates and the shares of positives and others."""
    return np.asarray(mix @ rates)


def _true_positive_rate(rates: Floats, _: Floats) -> Floats:
    return np.asarray(rates[0])


def _accuracy(rates: Floats, mix: Floats) -> Floats:
    return np.asarray(mix[0] * rates[0] + mix[1] * (1 - rates[1]))


_RATES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "per group": _positive_rate,
    "demographic parity": _positive_rate,
    "equal opportunity": _true_positive_rate,
    "equal accuracy": _accuracy,
}
