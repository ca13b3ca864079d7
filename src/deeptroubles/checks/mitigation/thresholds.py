"""mitigation.thresholds: can thresholds equalize groups, and at what cost?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.fairness.groups import LIMITS as GROUPS
from deeptroubles.checks.limits import Limits, estimate, few
from deeptroubles.checks.mitigation.shared.halves import SHUFFLES, Halves, Labels, halves
from deeptroubles.checks.mitigation.shared.result import Mitigated
from deeptroubles.checks.options import COST_RATIO, GROUP, LABELS, POSITIVE, THRESHOLD
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import listed, percent, points
from deeptroubles.engine import Engine
from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.findings import Cell, Column, Finding, Table
from deeptroubles.methods.fairness.gaps import Gap, largest, rate_gap
from deeptroubles.methods.mitigation.thresholds import STRATEGIES, TOLERANCE, choose_thresholds, cost_of
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean, mean_difference, wilson

NAME = "mitigation.thresholds"
LIMITS = Limits(
    "the largest of the gaps that a strategy aims to close",
    GROUPS.warn_at,
    GROUPS.fail_at,
    show=points,
    note=f"Thresholds are chosen on half of the images, equal within {percent(TOLERANCE)}, and measured on the other "
    "half. The thresholds of the verdict are conventions.",
)
_PRICE = (
    "it uses the group at prediction time, which is restricted by law in many places, and which requires the group of "
    "every image to be known"
)
_AIMS: dict[str, tuple[str, Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]], bool]] = {
    "demographic parity": ("positive rate", lambda predicted, _: predicted, False),
    "equal opportunity": ("true-positive rate", lambda predicted, _: predicted, True),
    "equal accuracy": ("accuracy", lambda predicted, positive: predicted == positive, False),
}
"""What each strategy equalizes: its name, what is counted, and whether among images of the class only."""
_GAPS = ("positive rate gap", "TPR gap", "accuracy gap")


@check(NAME, needs=[LABELS, GROUP, POSITIVE], options=[COST_RATIO, THRESHOLD], on_request=True)
def thresholds(recording: Recording, engine: Engine, *, seed: int) -> Mitigated:
    """Can thresholds equalize groups, and at what cost?

    What it asks:
        One class (--positive) is predicted where its probability reaches a threshold. What are the gaps between groups,
        the accuracy and the cost with one threshold for all groups, with the cheapest for each group, with those that
        equalize how often the class is predicted (demographic parity), true-positive rates (equal opportunity) or
        accuracy, and with your own (--threshold)? A false positive costs --cost-ratio, a false negative 1.

    Why it matters:
        If groups differ, these aims exclude each other; the table shows what each costs the others.

    How to read it:
        Thresholds are chosen on half of the images and measured on the other half, so gaps do not vanish exactly. Each
        pair of bars is one aim before (one threshold for all) and after.

    Limits:
        Thresholds by group use the group at prediction time: it must be known, and the law restricts this in many
        places. They do not change the ranking within a group. Of several --group columns the first is used.

    References:
        M. Hardt, E. Price, N. Srebro, Equality of opportunity in supervised learning, NeurIPS 2016.

        J. Wexler et al., The What-If Tool, IEEE TVCG 2020.
    """
    group, chosen = (GROUP.of(recording) or ("",))[0], POSITIVE.of(recording) or 0
    try:
        rows, data, notes = halves(recording, group, seed)
        cuts, finding = _by_strategy(
            recording.probabilities[rows, chosen],
            chosen,
            data,
            group,
            COST_RATIO.of(recording) or 1.0,
            THRESHOLD.of(recording) or {},
        )
    except (ImagesError, UsageError) as error:
        return Mitigated(check=NAME, problem=error)
    by_group = {key: dict(zip(data.names, map(float, values), strict=True)) for key, values in cuts.items()}
    scores, groups = recording.probabilities[rows, chosen][data.held_out], data.groups[data.held_out]
    return Mitigated(
        check=NAME,
        found=replace(finding, caveats=[*finding.caveats, *notes]),
        thresholds=by_group,
        data=data,
        predicted={key: np.where(scores >= values[groups], chosen, -1) for key, values in cuts.items()},
    )


def _by_strategy(
    scores: NDArray[np.float64], chosen: int, data: Halves, group: str, cost_ratio: float, custom: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.float64]], Finding]:
    """Thresholds by every strategy, chosen on one half and measured on the other. Raises ImagesError and UsageError."""
    positive, fitted, held_out, name = data.targets == chosen, data.fitted, data.held_out, data.classes[chosen]
    if not positive[fitted].any() or positive[fitted].all():
        raise ImagesError(f"All or none of the labelled images are of class {name}; thresholds need both.")
    cuts: dict[str, NDArray[np.float64]] = {
        strategy: choose_thresholds(
            strategy, scores[fitted], positive[fitted], data.groups[fitted], cost_ratio=cost_ratio
        )
        for strategy in STRATEGIES
    }
    if custom:
        if set(custom) != set(data.names):
            raise UsageError(
                f"Custom thresholds are for {', '.join(custom)}; give one for each of {', '.join(data.names)}."
            )
        cuts["custom"] = np.array([custom[key] for key in data.names])
    predicted = {"unchanged": (data.predicted == chosen)[held_out]}
    predicted |= {key: scores[held_out] >= values[data.groups[held_out]] for key, values in cuts.items()}
    truth, groups, count = positive[held_out], data.groups[held_out], len(held_out)
    gaps = {
        key: {aim: _aim_gap(aim, labels, truth, groups, data.seed) for aim in _AIMS}
        for key, labels in predicted.items()
    }
    costs = {
        aim: mean_difference((predicted["single"] == truth).astype(float) - (predicted[aim] == truth)) for aim in _AIMS
    }
    bars = [
        LIMITS.estimate(
            f"Gap in {words}, {'one threshold' if key == 'single' else key}",
            gap.gap,
            sum(images for _, images in gap.values.values()),
        )
        for aim, (words, _, _) in _AIMS.items()
        for key in ("single", aim)
        if (gap := gaps[key][aim])
    ]
    remaining = [gap for aim in _AIMS if (gap := gaps[aim][aim])]
    after = largest(remaining) if remaining else Interval(1.0, 0.0, 1.0)
    finding = Finding(
        check=NAME,
        verdict=LIMITS.verdict(after, count),
        severity=after.value,
        claim=_claim(name, group, gaps, costs),
        criterion=LIMITS.criterion,
        evidence=[
            *bars,
            _strategies(predicted, truth, gaps, cost_ratio),
            *(
                estimate(f"Cost in accuracy of {aim}, against one threshold", cost, count)
                for aim, cost in costs.items()
            ),
            _cut_table(cuts, data.names),
        ],
        caveats=[*few(count), f"A threshold for each group has a price: {_PRICE}."],
    )
    return cuts, finding


def _claim(name: str, group: str, gaps: Mapping[str, Mapping[str, Gap | None]], costs: Mapping[str, Interval]) -> str:
    changes = [
        f"{_AIMS[aim][0]} from {points(first.gap.value)} to {points(second.gap.value)} ({aim})"
        for aim in _AIMS
        if (first := gaps["single"][aim]) and (second := gaps[aim][aim])
    ]
    low, high = (f"{100 * end(cost.value for cost in costs.values()):.1f}" for end in (min, max))
    return (
        f"For {name} against the rest, thresholds by {group} change the gap in {listed(changes) or '0 measures'}, at a "
        f"cost of {low if low == high else f'{low} to {high}'} points of accuracy."
    )


def _aim_gap(aim: str, predicted: NDArray[np.bool_], truth: NDArray[np.bool_], groups: Labels, seed: int) -> Gap | None:
    words, counted, of_class = _AIMS[aim]
    rows = truth if of_class else np.ones_like(truth)
    return rate_gap(words, counted(predicted, truth)[rows], groups[rows], seed=seed, shuffles=SHUFFLES)


def _strategies(
    predicted: Mapping[str, NDArray[np.bool_]],
    truth: NDArray[np.bool_],
    gaps: Mapping[str, Mapping[str, Gap | None]],
    cost_ratio: float,
) -> Table:
    columns = [
        Column(name="strategy"),
        *(Column(name=name, kind="share") for name in _GAPS),
        Column(name="accuracy", kind="share"),
        Column(name="95% CI", kind="interval"),
        Column(name="cost per image"),
    ]
    rows: list[list[Cell]] = []
    for key, labels in predicted.items():
        accuracy, cost = wilson(int((labels == truth).sum()), len(truth)), mean(cost_of(labels, truth, cost_ratio))
        found = [round(gap.gap.value, 2) if gap else None for gap in gaps[key].values()]
        words = f"{cost.value:.2f} ({max(0.0, cost.low):.2f} to {cost.high:.2f})"
        rows.append([key, *found, accuracy.value, [accuracy.low, accuracy.high], words])
    title = f"Effect of thresholds; cost per image with {cost_ratio:g} for a false positive and 1 for a false negative"
    return Table(title=title, columns=columns, rows=rows)


def _cut_table(cuts: Mapping[str, NDArray[np.float64]], names: Sequence[str]) -> Table:
    columns = [Column(name="strategy"), *(Column(name=name, kind="number") for name in names)]
    rows: list[list[Cell]] = [
        [key, *(round(float(v), 4) if np.isfinite(v) else None for v in values)] for key, values in cuts.items()
    ]
    return Table(
        title="Thresholds on the probability of the class (empty: the class is never predicted)",
        columns=columns,
        rows=rows,
    )
