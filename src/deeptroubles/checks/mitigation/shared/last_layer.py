"""Retraining the last layer, and what it does to gaps between groups and to accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.fairness.groups import LIMITS as GROUPS
from deeptroubles.checks.fairness.leakage import read_features
from deeptroubles.checks.limits import Limits, estimate, few
from deeptroubles.checks.mitigation.shared.halves import Halves, Labels, halves
from deeptroubles.checks.mitigation.shared.result import Mitigated
from deeptroubles.checks.options import GROUP
from deeptroubles.checks.wording import percent, plural, points, points_interval
from deeptroubles.engine import Engine
from deeptroubles.errors import ImagesError, ModelError
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table
from deeptroubles.methods.fairness.gaps import Gap, largest
from deeptroubles.methods.mitigation.last_layer import Head, fit_head
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, wilson

LIMITS = Limits(
    "the largest remaining gap, in accuracy or in the true-positive rate of a class, on the held-out half of the "
    "images,",
    GROUPS.warn_at,
    GROUPS.fail_at,
    show=points,
)
Fit = Callable[[NDArray[np.float64], Labels, Labels, int, int], Head]
"""`fit(features, targets, groups, classes, seed)` gives a last layer."""


def retrained(
    recording: Recording, engine: Engine, seed: int, *, check: str, name: str, what: str, fit: Fit
) -> Mitigated:
    """Retrain the last layer on one half of the images with and without a mitigation, and measure on the other half.

    Args:
        recording: The recording; its option `group` names the column (of several, the first counts).
        engine: What reads the features.
        seed: Decides the halves and everything else random.
        check: The check's name.
        name: A word for the mitigated layer.
        what: The mitigation, as the subject of the claim.
        fit: Trains the mitigated layer.
    """
    group = (GROUP.of(recording) or ("",))[0]
    try:
        rows, data, notes = halves(recording, group, seed)
    except ImagesError as error:
        return Mitigated(check=check, problem=error)
    read = engine.map(read_features, recording.subject, rows, task="Reading features", chunk=64)["features"]
    if not read.shape[1] or len(np.unique(data.targets[data.fitted])) < 2:
        return Mitigated(check=check, problem=ModelError("It needs logits from a linear layer, and two classes."))
    features, count = read.astype(np.float64), len(data.classes)
    inputs, targets, groups = features[data.fitted], data.targets[data.fitted], data.groups[data.fitted]
    heads = {"refitted": fit_head(inputs, targets, count), name: fit(inputs, targets, groups, count, seed)}
    predicted = {"unchanged": data.predicted, **{key: head.logits(features).argmax(1) for key, head in heads.items()}}
    if absent := count - len(np.unique(targets)):
        notes.append(f"The new layer never predicts the {plural(absent, 'class', 'classes')} without an image.")
    return Mitigated(
        check=check,
        found=_compared(check, what, data, group, predicted, notes),
        heads=heads,
        data=data,
        predicted={key: labels[data.held_out] for key, labels in predicted.items()},
    )


def _compared(
    check: str, what: str, data: Halves, group: str, predicted: Mapping[str, Labels], notes: Sequence[str]
) -> Finding:
    """One finding: the gaps and the accuracy before and after, on the held-out half."""
    truth, held_out = data.targets[data.held_out], data.held_out
    gaps = {name: data.gaps(labels) for name, labels in predicted.items()}
    worst = {name: largest(found) for name, found in gaps.items()}
    correct = {name: labels[held_out] == truth for name, labels in predicted.items()}
    (before, *_, after), count = predicted, len(held_out)
    cost = mean_difference(correct[before].astype(float) - correct[after])
    accuracy = {name: wilson(int(hits.sum()), count) for name, hits in correct.items()}
    bars: list[Evidence] = [
        LIMITS.estimate(f"Largest gap between groups, {name}", gap, count) for name, gap in worst.items()
    ]
    levels = [estimate(f"Accuracy, {name}", a, count, higher_is_worse=False) for name, a in accuracy.items()]
    return Finding(
        check=check,
        verdict=LIMITS.verdict(worst[after], count),
        severity=worst[after].value,
        claim=f"{what} changes the largest gap by {group} from {points(worst[before].value)} to "
        f"{points_interval(worst[after])}, and accuracy from {percent(accuracy[before].value)} to "
        f"{percent(accuracy[after].value)} ({_change(cost)}).",
        criterion=LIMITS.criterion,
        evidence=[
            *bars,
            _by_measure(gaps),
            *levels,
            _by_group(data, correct),
            estimate("Cost in accuracy (negative: a gain)", cost, count),
        ],
        caveats=[*few(count), *notes, "“Refitted” is a layer retrained without the mitigation."],
    )


def _change(cost: Interval) -> str:
    gain = Interval(-cost.value, -cost.high, -cost.low)
    return f"{100 * gain.value:+.1f} points, 95% CI {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"


def _by_group(data: Halves, correct: Mapping[str, NDArray[np.bool_]]) -> Table:
    columns = [Column(name="group")]
    for name in correct:
        columns += [Column(name=name, kind="share"), Column(name="95% CI", kind="interval")]
    rows: list[list[Cell]] = []
    for index, group in enumerate(data.names):
        inside = data.groups[data.held_out] == index
        cells: list[Cell] = [f"{group} ({plural(int(inside.sum()), 'image')})"]
        for hits in correct.values():
            share = wilson(int(hits[inside].sum()), int(inside.sum()))
            cells += [share.value, [share.low, share.high]]
        rows.append(cells)
    return Table(title="Accuracy by group, before and after", columns=columns, rows=rows)


def _by_measure(gaps: Mapping[str, Sequence[Gap]]) -> Table:
    columns = [Column(name="gap in")]
    for name in gaps:
        columns += [Column(name=name, kind="share"), Column(name="95% CI", kind="interval")]
    rows: list[list[Cell]] = []
    for together in zip(*gaps.values(), strict=True):
        cells: list[Cell] = [together[0].measure]
        for gap in together:
            cells += [gap.gap.value, [gap.gap.low, gap.gap.high]]
        rows.append(cells)
    return Table(title="Gaps before and after", columns=columns, rows=rows)
