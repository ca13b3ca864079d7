"""Thresholds for one class against the rest, by group, before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.fairness.groups import FAIL_AT, WARN_AT
from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.mitigation.shared.halves import SHUFFLES, Halves, Labels, cost_bar
from deeptroubles.checks.wording import percent
from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, Table
from deeptroubles.methods.fairness.gaps import Gap, largest, rate_gap
from deeptroubles.methods.mitigation.thresholds import STRATEGIES, TOLERANCE, choose_thresholds, cost_of
from deeptroubles.statistics.intervals import Interval, mean, mean_difference, wilson

THRESHOLDS = "mitigation.thresholds"
_TOLD = "it uses the group at prediction time, which the law forbids or restricts in many places and uses, and which \
needs the group of every image to be known"


_AIMS: dict[str, tuple[str, Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]], bool]] = {
    "demographic parity": ("positive rate", lambda answered, _: answered, False),
    "equal opportunity": ("true-positive rate", lambda answered, _: answered, True),
    "equal accuracy": ("accuracy", lambda answered, positive: answered == positive, False),
}
"""What each strategy makes alike: its name, what is counted, and whether among images of the class only."""
_GAPS = ("positives gap", "TPR gap", "accuracy gap")


def thresholds_by_group(
    scores: NDArray[np.float64], chosen: int, data: Halves, group: str, cost_ratio: float, custom: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.float64]], Finding]:
    """Thresholds by every strategy, chosen on one half and shown on the other."""
    positive, fitted, shown, name = data.targets == chosen, data.fitted, data.shown, data.classes[chosen]
    if not positive[fitted].any() or positive[fitted].all():
        raise ImagesError(f"The labelled images are all of {name}, or none is; thresholds need both.")
    cuts: dict[str, NDArray[np.float64]] = {
        strategy: choose_thresholds(
            strategy, scores[fitted], positive[fitted], data.groups[fitted], cost_ratio=cost_ratio
        )
        for strategy in STRATEGIES
    }
    if custom:
        unknown = [key for key in (*custom, *data.names) if (key in custom) != (key in data.names)]
        if unknown:
            raise UsageError(
                f"Custom thresholds are for {', '.join(custom)}; give one for each of {', '.join(data.names)}."
            )
        cuts["custom"] = np.array([custom[key] for key in data.names])
    answered = {"as it is": (data.predicted == chosen)[shown]}
    answered |= {key: scores[shown] >= values[data.groups[shown]] for key, values in cuts.items()}
    truth, groups = positive[shown], data.groups[shown]
    gaps = {
        key: {aim: _aim_gap(aim, given, truth, groups, data.seed) for aim in _AIMS} for key, given in answered.items()
    }
    bars, left, price = list[Evidence](), list[Gap](), list[Evidence]()
    for aim, (words, _, _) in _AIMS.items():
        for key in ("single", aim):
            gap = gaps[key][aim]
            if gap:
                left += [gap] if key == aim else []
                heading = f"Gap in {words}, {'one threshold' if key == 'single' else key}"
                count = sum(images for _, images in gap.values.values())
                bars.append(
                    Estimate(
                        label=heading[:1].upper() + heading[1:],
                        value=gap.gap.value,
                        low=gap.gap.low,
                        high=gap.gap.high,
                        n=count,
                        warn_at=WARN_AT,
                        fail_at=FAIL_AT,
                    )
                )
    costs = {}
    for aim in _AIMS:
        lost = (answered["single"] == truth).astype(float) - (answered[aim] == truth)
        costs[aim] = mean_difference(lost)
        price.append(cost_bar(costs[aim], len(shown), f"Accuracy that {aim} costs against one threshold"))
    after = largest(left) if left else Interval(1.0, 0.0, 1.0)
    told = [
        f"in {_AIMS[aim][0]} from {percent(first.gap.value)} to {percent(second.gap.value)} ({aim})"
        for aim in _AIMS
        if (first := gaps["single"][aim]) and (second := gaps[aim][aim])
    ]
    least, most = (100 * end(cost.value for cost in costs.values()) for end in (min, max))
    price_in_words = f"at the price of {least:.1f} to {most:.1f} points of accuracy"
    finding = Finding(
        check=THRESHOLDS,
        verdict=judge(after, len(shown), warn_at=WARN_AT, fail_at=FAIL_AT),
        severity=after.value,
        claim=f"For {name} against the rest, thresholds by {group} take the gap "
        f"{', '.join(told) or 'of 0 measures that can be told'}, {price_in_words}.",
        criterion=criterion("the largest of the gaps that a strategy was to close", warn_at=WARN_AT, fail_at=FAIL_AT)
        + f" Thresholds are chosen on half of the images, alike within {percent(TOLERANCE)}, and shown on the other.",
        evidence=[*bars, _strategies(answered, truth, gaps, cost_ratio), *price, _cut_table(cuts, data.names)],
        caveats=[*few(len(shown)), f"A threshold by group has a price: {_TOLD}."],
    )
    return cuts, finding


def _aim_gap(aim: str, answered: NDArray[np.bool_], truth: NDArray[np.bool_], groups: Labels, seed: int) -> Gap | None:
    words, counted, of_class = _AIMS[aim]
    rows = truth if of_class else np.ones_like(truth)
    return rate_gap(words, counted(answered, truth)[rows], groups[rows], seed=seed, shuffles=SHUFFLES)


def _strategies(
    answered: Mapping[str, NDArray[np.bool_]],
    truth: NDArray[np.bool_],
    gaps: Mapping[str, Mapping[str, Gap | None]],
    cost_ratio: float,
) -> Table:
    columns = [
        Column(name="strategy"),
        *(Column(name=name, kind="number") for name in _GAPS),
        Column(name="accuracy", kind="share"),
        Column(name="95 %", kind="interval"),
        Column(name="cost per image"),
    ]
    rows: list[list[Cell]] = []
    for key, given in answered.items():
        right, cost = wilson(int((given == truth).sum()), len(truth)), mean(cost_of(given, truth, cost_ratio))
        found = [round(gap.gap.value, 2) if gap else None for gap in gaps[key].values()]
        words = f"{cost.value:.2f} ({max(0.0, cost.low):.2f} to {cost.high:.2f})"
        rows.append([key, *found, right.value, [right.low, right.high], words])
    title = f"What thresholds do; cost per image, a false positive at {cost_ratio:g} and a false negative at 1"
    return Table(title=title, columns=columns, rows=rows)


def _cut_table(cuts: Mapping[str, NDArray[np.float64]], names: Sequence[str]) -> Table:
    columns = [Column(name="strategy"), *(Column(name=name, kind="number") for name in names)]
    rows: list[list[Cell]] = [
        [key, *(round(float(v), 4) if np.isfinite(v) else None for v in values)] for key, values in cuts.items()
    ]
    return Table(title="Thresholds on the probability of the class (empty: never answered)", columns=columns, rows=rows)
