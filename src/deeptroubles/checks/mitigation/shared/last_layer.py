"""Last layers that are trained anew, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.fairness.groups import FAIL_AT, WARN_AT
from deeptroubles.checks.fairness.leakage import read_features
from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.mitigation.shared.halves import Halves, Labels, cost_bar
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, Table
from deeptroubles.methods.fairness.gaps import Gap, largest
from deeptroubles.methods.mitigation.last_layer import Head, balanced_head, fit_head
from deeptroubles.methods.mitigation.reweighing import reweighing
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, wilson

REWEIGHED, BALANCED = "mitigation.reweighing", "mitigation.balanced"
_RULE = (
    criterion("the largest gap that is left", warn_at=WARN_AT, fail_at=FAIL_AT)
    + " Looked at are accuracy and the true-positive rate of each class, on the half of the images that nothing was "
    "fitted on. The first threshold is the fair band of AIF360's demonstration; both are our convention."
)


def last_layers(
    recording: Recording, engine: Engine, rows: Labels, data: Halves, group: str, notes: Sequence[str]
) -> tuple[list[Finding], dict[str, Head]]:
    """A last layer that is trained anew: plainly (the control), reweighed, and on balanced images."""
    read = engine.map(read_features, recording.subject, rows, task="Reading features", chunk=64)["features"]
    if not read.shape[1] or len(np.unique(data.targets[data.fitted])) < 2:
        return [], {}
    features, count = read.astype(np.float64), len(data.classes)
    shown, truth, groups = features[data.fitted], data.targets[data.fitted], data.groups[data.fitted]
    heads = {
        "refitted": fit_head(shown, truth, count),
        "reweighed": fit_head(shown, truth, count, reweighing(truth, groups)),
        "balanced": balanced_head(shown, truth, groups, count, seed=data.seed),
    }
    answers = {name: head.logits(features).argmax(1) for name, head in heads.items()}
    absent = count - len(np.unique(truth))
    more = [*notes, *([f"The new layer never answers the {absent} classes that no image shows."] if absent else [])]
    before = {"as it is": data.predicted, "refitted": answers["refitted"]}
    return [
        _compared(check, what, data, group, before | {name: answers[name]}, more)
        for check, name, what in (
            (REWEIGHED, "reweighed", "Reweighing images and training the last layer anew"),
            (BALANCED, "balanced", "Training the last layer anew on balanced images"),
        )
    ], heads


def _compared(
    check: str, what: str, data: Halves, group: str, answers: Mapping[str, Labels], notes: Sequence[str]
) -> Finding:
    """One finding: the gaps and the accuracy before and after, on the half that nothing was fitted on."""
    truth, shown = data.targets[data.shown], data.shown
    gaps = {name: data.gaps(given) for name, given in answers.items()}
    worst = {name: largest(found) for name, found in gaps.items()}
    right = {name: given[shown] == truth for name, given in answers.items()}
    (before, *_, after), count = answers, len(shown)
    cost = mean_difference(right[before].astype(float) - right[after])
    bars: list[Evidence] = [
        Estimate(
            label=f"Largest gap between groups, {name}",
            value=w.value,
            low=w.low,
            high=w.high,
            n=count,
            warn_at=WARN_AT,
            fail_at=FAIL_AT,
        )
        for name, w in worst.items()
    ]
    levels: list[Evidence] = []
    for name, hits in right.items():
        share = wilson(int(hits.sum()), count)
        levels.append(
            Estimate(
                label=f"Accuracy, {name}",
                value=share.value,
                low=share.low,
                high=share.high,
                n=count,
                higher_is_worse=False,
            )
        )
    accuracy = {name: wilson(int(hits.sum()), count).value for name, hits in right.items()}
    return Finding(
        check=check,
        verdict=judge(worst[after], count, warn_at=WARN_AT, fail_at=FAIL_AT),
        severity=worst[after].value,
        claim=f"{what} takes the largest gap by {group} from {percent(worst[before].value)} to "
        f"{percent_interval(worst[after])}, and accuracy from {percent(accuracy[before])} to "
        f"{percent(accuracy[after])} {_change(cost)}.",
        criterion=_RULE,
        evidence=[
            *bars,
            _by_measure(gaps),
            *levels,
            _by_group(data, right),
            cost_bar(cost, count, "Accuracy that it costs (below 0: it gains)"),
        ],
        caveats=[*few(count), *notes, "“Refitted” is a layer trained anew without weights."],
    )


def _change(cost: Interval) -> str:
    gain = Interval(-cost.value, -cost.high, -cost.low)
    return f"({100 * gain.value:+.1f} points, {100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _by_group(data: Halves, right: Mapping[str, NDArray[np.bool_]]) -> Table:
    columns = [Column(name="group")]
    for name in right:
        columns += [Column(name=name, kind="share"), Column(name="95 %", kind="interval")]
    rows: list[list[Cell]] = []
    for index, group in enumerate(data.names):
        inside = data.groups[data.shown] == index
        cells: list[Cell] = [f"{group} ({int(inside.sum())} images)"]
        for hits in right.values():
            share = wilson(int(hits[inside].sum()), int(inside.sum()))
            cells += [share.value, [share.low, share.high]]
        rows.append(cells)
    return Table(title="Accuracy by group, before and after", columns=columns, rows=rows)


def _by_measure(gaps: Mapping[str, Sequence[Gap]]) -> Table:
    columns = [Column(name="gap in")]
    for name in gaps:
        columns += [Column(name=name, kind="share"), Column(name="95 %", kind="interval")]
    rows: list[list[Cell]] = []
    for together in zip(*gaps.values(), strict=True):
        cells: list[Cell] = [together[0].measure]
        for gap in together:
            cells += [gap.gap.value, [gap.gap.low, gap.gap.high]]
        rows.append(cells)
    return Table(title="Gaps before and after", columns=columns, rows=rows)
