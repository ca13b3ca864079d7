"""What can be done about gaps between groups, tried on half of the images and shown on the other half."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.audit import open_run, without_findings
from deeptroubles.checks.fairness.groups import FAIL_AT, WARN_AT
from deeptroubles.checks.fairness.leakage import read_features
from deeptroubles.checks.judging import criterion, few, judge, percent, percent_interval
from deeptroubles.checks.registry import Check
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Engine, LocalEngine
from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.explain import find_class
from deeptroubles.findings import Audit, Cell, Column, Estimate, Evidence, Finding, Table, worst_first
from deeptroubles.images import ImageSet
from deeptroubles.methods.fairness.by_group import FLOOR
from deeptroubles.methods.fairness.gaps import Gap, class_gaps, largest, rate_gap
from deeptroubles.methods.fairness.groupings import fit_groups, one_column
from deeptroubles.methods.mitigation.last_layer import Head, balanced_head, fit_head
from deeptroubles.methods.mitigation.reweighing import reweighing
from deeptroubles.methods.mitigation.thresholds import STRATEGIES, TOLERANCE, choose_thresholds, cost_of
from deeptroubles.methods.statistics.balanced_accuracy import cell_counts
from deeptroubles.methods.statistics.intervals import Interval, mean, mean_difference, wilson
from deeptroubles.recording import Given, Recording, record
from deeptroubles.run_folder import RunFolder

Labels = NDArray[np.int64]

THRESHOLDS, REWEIGHED, BALANCED = "mitigation.thresholds", "mitigation.reweighing", "mitigation.balanced"
SHUFFLES = 999
_TOLD = "it uses the group at prediction time, which the law forbids or restricts in many places and uses, and which \
needs the group of every image to be known"


@dataclass(frozen=True)
class Mitigation:
    """What was tried, and what it gave.

    Attributes:
        audit: The findings, as those of an audit.
        heads: Last layers trained anew, by how: `refitted` (the control), `reweighed`, `balanced`. They take the
            features before the last layer; `with_head` puts one into a copy of the classifier.
        thresholds: The threshold of each group, by strategy.
    """

    audit: Audit
    heads: dict[str, Head]
    thresholds: dict[str, dict[str, float]]


@dataclass(frozen=True)
class _Data:
    """Images of large enough groups in two halves: rows of `fitted` are learned from, those of `shown` are shown."""

    targets: Labels
    predicted: Labels
    groups: Labels
    names: tuple[str, ...]
    classes: tuple[str, ...]
    fitted: Labels
    shown: Labels
    seed: int

    def gaps(self, answers: Labels) -> list[Gap]:
        """The gaps on the shown half: in accuracy, and in the true-positive rate of each class."""
        truth, groups = self.targets[self.shown], self.groups[self.shown]
        given = answers[self.shown]
        present = {int(k): self.classes[k] for k in np.unique(truth)}
        overall = rate_gap("accuracy", given == truth, groups, seed=self.seed, shuffles=SHUFFLES)
        by_class = class_gaps(truth, given, groups, present, seed=self.seed, shuffles=SHUFFLES)
        return [gap for gap in (overall, *by_class) if gap and not gap.measure.startswith("false")]


def mitigate(
    classifier: Classifier,
    images: ImageSet,
    group: str,
    out: Path | str | None = None,
    *,
    positive: str | None = None,
    cost_ratio: float = 1.0,
    custom: Mapping[str, float] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    command: str = "",
) -> Mitigation:
    """Try what may close gaps between groups, and show what it does to images that it was not fitted on.

    Args:
        classifier: The classifier. It stays as it is.
        images: Labelled images with a column of groups.
        group: That column.
        out: Folder for the run. Default: nothing is kept.
        positive: The class that thresholds are chosen for, against the rest. Default: none are.
        cost_ratio: What a false positive costs when a false negative costs 1, above 0.
        custom: Thresholds of your own on the probability of the class, by group.
        seed: Of the halves and of everything else random.
        batch_size: How many images are shown at once.
        command: What to say in the report about how it was made.

    Raises:
        UsageError: There is no such column, class or group, or the cost ratio is not above 0.
        ImagesError: Fewer than two groups have 60 labelled images (30 in each half).
        RunFolderError: The folder holds another run, or cannot be written.
    """
    started, created = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    fit_groups([group], images)
    if not cost_ratio > 0:
        raise UsageError(f"The cost ratio is {cost_ratio:g}; give a number above 0.")
    if custom and positive is None:
        raise UsageError("Thresholds are for one class against the rest; name it with --positive.")
    chosen = None if positive is None else find_class(classifier, positive)
    folder = open_run(out, classifier, images, seed, mitigation=group)
    engine = LocalEngine(folder, batch_size)
    recording = record(classifier, images, engine, Given(groups=(group,)))
    rows, data, notes = _halves(recording, group, seed)
    findings, heads = _last_layers(recording, engine, rows, data, group, notes)
    thresholds: dict[str, dict[str, float]] = {}
    if chosen is not None:
        cuts, finding = _thresholds(recording.probabilities[rows, chosen], chosen, data, group, cost_ratio, custom or {})
        findings.append(replace(finding, caveats=[*finding.caveats, *notes]))
        thresholds = {name: dict(zip(data.names, map(float, values), strict=True)) for name, values in cuts.items()}
    guides = {f.check: Check(f.check, _EXPLAINED[f.check], frozenset()).guide for f in findings}
    audit = without_findings(classifier, images, recording, guides, created=created, command=command, seed=seed)
    audit = replace(audit, status="complete", findings=worst_first(findings),
                    seconds=round(time.monotonic() - started, 1))  # fmt: skip
    if folder:
        _keep(folder, audit, heads, thresholds, data.classes)
    return Mitigation(audit, heads, thresholds)


def _halves(recording: Recording, group: str, seed: int) -> tuple[Labels, _Data, list[str]]:
    """The labelled images of groups that are large enough, each class of each group in two halves."""
    labelled = recording.labelled
    grouping = one_column(recording.subject.images.table.iloc[labelled], group)
    large = np.flatnonzero(grouping.sizes() >= 2 * FLOOR)
    if len(large) < 2:
        raise ImagesError(
            f"Fewer than two groups of {group} have {2 * FLOOR} labelled images or more; half of the images are for "
            f"fitting and half for showing, and {FLOOR} is the least to say anything of a group."
        )
    inside = np.isin(grouping.codes, large)
    rows, groups = labelled[inside], np.searchsorted(large, grouping.codes[inside])
    targets = recording.targets[rows]
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    cells = groups[shuffled] * recording.subject.classifier.classes + targets[shuffled]
    first = pd.Series(cells).groupby(cells).cumcount().to_numpy() % 2 == 0
    names = tuple(grouping.names[k] for k in large)
    data = _Data(targets, recording.predicted[rows], groups, names, recording.subject.classifier.class_names,
                 np.sort(shuffled[first]), np.sort(shuffled[~first]), seed)  # fmt: skip
    left, notes = int((~inside).sum()), list[str]()
    if left:
        notes.append(f"{left} labelled image{'s' if left > 1 else ''} without a value of {group}, or of groups below "
                     f"{2 * FLOOR} images, left out.")  # fmt: skip
    present = np.unique(targets)
    empty = cell_counts(groups, np.searchsorted(present, targets)) == 0
    if empty.any():
        g, k = np.argwhere(empty)[0]
        notes.append(f"{int(empty.sum())} of {empty.size} pairs of group and class have no image (such as "
                     f"{data.classes[present[k]]} in {names[g]}), and no weight can make up for that.")  # fmt: skip
    return rows, data, notes


def _last_layers(
    recording: Recording, engine: Engine, rows: Labels, data: _Data, group: str, notes: Sequence[str]
) -> tuple[list[Finding], dict[str, Head]]:  # fmt: skip
    """A last layer that is trained anew: plainly (the control), reweighed, and on balanced images."""
    read = engine.map(read_features, recording.subject, rows, label="Reading features", piece=64)["features"]
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
    return [
        _compared(check, what, data, group, {"as it is": data.predicted, "refitted without weights":
                  answers["refitted"], name: answers[name]}, more)
        for check, name, what in (
            (REWEIGHED, "reweighed", "Reweighing images and training the last layer anew"),
            (BALANCED, "balanced", "Training the last layer anew on balanced images"),
        )
    ], heads  # fmt: skip


def _compared(
    check: str, what: str, data: _Data, group: str, answers: Mapping[str, Labels], notes: Sequence[str]
) -> Finding:  # fmt: skip
    """One finding: the gaps and the accuracy before and after, on the half that nothing was fitted on."""
    truth, shown = data.targets[data.shown], data.shown
    gaps = {name: data.gaps(given) for name, given in answers.items()}
    worst = {name: largest(found) for name, found in gaps.items()}
    right = {name: given[shown] == truth for name, given in answers.items()}
    (before, *_, after), count = answers, len(shown)
    cost = mean_difference(right[before].astype(float) - right[after])
    bars: list[Evidence] = [
        Estimate(label=f"Largest gap between groups, {name}", value=w.value, low=w.low, high=w.high, n=count,
                 warn_at=WARN_AT, fail_at=FAIL_AT)
        for name, w in worst.items()
    ]  # fmt: skip
    for name, hits in right.items():
        share = wilson(int(hits.sum()), count)
        bars.append(Estimate(label=f"Accuracy, {name}", value=share.value, low=share.low, high=share.high, n=count,
                             higher_is_worse=False))  # fmt: skip
    bars.append(_cost_bar(cost, count, "Accuracy that it costs (below 0: it gains)"))
    accuracy = {name: wilson(int(hits.sum()), count).value for name, hits in right.items()}
    return Finding(
        check=check,
        verdict=judge(worst[after], count, warn_at=WARN_AT, fail_at=FAIL_AT),
        severity=worst[after].value,
        claim=f"{what} takes the largest gap by {group} from {percent(worst[before].value)} to "
        f"{percent_interval(worst[after])}, and accuracy from {percent(accuracy[before])} to "
        f"{percent(accuracy[after])} {_change(cost)}.",
        criterion=_RULE,
        evidence=[*bars, _by_group(data, right), _by_measure(gaps)],
        caveats=[*few(count), *notes, "Refitting alone changes answers; what counts is the difference to the layer "
                 "that was refitted without weights."],
    )  # fmt: skip


_RULE = (
    criterion("the largest gap that is left", warn_at=WARN_AT, fail_at=FAIL_AT)
    + " Looked at are accuracy and the true-positive rate of each class, on the half of the images that nothing was "
    "fitted on. The first threshold is the fair band of AIF360's demonstration; both are our convention."
)


def _change(cost: Interval) -> str:
    gain = Interval(-cost.value, -cost.high, -cost.low)
    return f"({100 * gain.value:+.1f} points, {100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _cost_bar(cost: Interval, count: int, label: str) -> Estimate:
    return Estimate(label=label, value=cost.value, low=cost.low, high=cost.high, n=count)


def _by_group(data: _Data, right: Mapping[str, NDArray[np.bool_]]) -> Table:
    columns = [Column(name="group"), Column(name="images", kind="number")]
    for name in right:
        columns += [Column(name=f"accuracy, {name}", kind="share"), Column(name=f"95 %, {name}", kind="interval")]
    rows: list[list[Cell]] = []
    for index, group in enumerate(data.names):
        inside = data.groups[data.shown] == index
        cells: list[Cell] = [group, int(inside.sum())]
        for hits in right.values():
            share = wilson(int(hits[inside].sum()), int(inside.sum()))
            cells += [share.value, [share.low, share.high]]
        rows.append(cells)
    return Table(title="Groups before and after", columns=columns, rows=rows)


def _by_measure(gaps: Mapping[str, Sequence[Gap]]) -> Table:
    columns = [Column(name="gap in")]
    for name in gaps:
        columns += [Column(name=name, kind="share"), Column(name=f"95 %, {name}", kind="interval")]
    rows: list[list[Cell]] = []
    for together in zip(*gaps.values(), strict=True):
        cells: list[Cell] = [together[0].measure]
        for gap in together:
            cells += [gap.gap.value, [gap.gap.low, gap.gap.high]]
        rows.append(cells)
    return Table(title="Gaps before and after", columns=columns, rows=rows)


_AIMS: dict[str, tuple[str, Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]], bool]] = {
    "demographic parity": ("answered with the class", lambda answered, _: answered, False),
    "equal opportunity": ("true-positive rate", lambda answered, _: answered, True),
    "equal accuracy": ("accuracy", lambda answered, positive: answered == positive, False),
}
"""What each strategy makes alike: its name, what is counted, and whether among images of the class only."""


def _thresholds(
    scores: NDArray[np.float64], chosen: int, data: _Data, group: str, cost_ratio: float, custom: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.float64]], Finding]:
    """Thresholds by every strategy, chosen on one half and shown on the other."""
    positive, fitted, shown, name = data.targets == chosen, data.fitted, data.shown, data.classes[chosen]
    if not positive[fitted].any() or positive[fitted].all():
        raise ImagesError(f"The labelled images are all of {name}, or none is; thresholds need both.")
    cuts = {
        strategy: choose_thresholds(strategy, scores[fitted], positive[fitted], data.groups[fitted],
                                    cost_ratio=cost_ratio)
        for strategy in STRATEGIES
    }  # fmt: skip
    if custom:
        unknown = [key for key in (*custom, *data.names) if (key in custom) != (key in data.names)]
        if unknown:
            raise UsageError(f"Custom thresholds are for {', '.join(custom)}; give one for each of "
                             f"{', '.join(data.names)}.")  # fmt: skip
        cuts["custom"] = np.array([custom[key] for key in data.names])
    answered = {"as it is": (data.predicted == chosen)[shown]}
    answered |= {key: scores[shown] >= values[data.groups[shown]] for key, values in cuts.items()}
    truth, groups = positive[shown], data.groups[shown]
    gaps = {key: {aim: _aim_gap(aim, given, truth, groups, data.seed) for aim in _AIMS} for key, given in answered.items()}
    bars, left = list[Evidence](), list[Gap]()
    for aim, (words, _, _) in _AIMS.items():
        for key in ("single", aim):
            gap = gaps[key][aim]
            if gap:
                left += [gap] if key == aim else []
                heading = f"Gap in {words}, {'one threshold' if key == 'single' else key}"
                bars.append(Estimate(label=heading[:1].upper() + heading[1:], value=gap.gap.value, low=gap.gap.low,
                                     high=gap.gap.high, n=len(shown), warn_at=WARN_AT, fail_at=FAIL_AT))  # fmt: skip
    costs = {}
    for aim in _AIMS:
        lost = (answered["single"] == truth).astype(float) - (answered[aim] == truth)
        costs[aim] = mean_difference(lost)
        bars.append(_cost_bar(costs[aim], len(shown), f"Accuracy that {aim} costs against one threshold"))
    after = largest(left) if left else Interval(1.0, 0.0, 1.0)
    told = [f"{aim} takes the gap in {_AIMS[aim][0]} from {percent(first.gap.value)} to {percent(second.gap.value)} "
            f"and costs {100 * costs[aim].value:.1f} points of accuracy"
            for aim in _AIMS if (first := gaps["single"][aim]) and (second := gaps[aim][aim])]  # fmt: skip
    finding = Finding(
        check=THRESHOLDS,
        verdict=judge(after, len(shown), warn_at=WARN_AT, fail_at=FAIL_AT),
        severity=after.value,
        claim=f"For {name} against the rest, thresholds by {group}: " + ("; ".join(told) or "0 gaps can be told") + ".",
        criterion=criterion("the largest of the gaps that a strategy was to close", warn_at=WARN_AT, fail_at=FAIL_AT)
        + f" Thresholds are chosen on half of the images, alike within {percent(TOLERANCE)}, and shown on the other.",
        evidence=[*bars, _strategies(answered, truth, gaps, cost_ratio), _cut_table(cuts, data.names)],
        caveats=[*few(len(shown)), f"A threshold by group has a price: {_TOLD}."],
    )
    return cuts, finding


def _aim_gap(
    aim: str, answered: NDArray[np.bool_], truth: NDArray[np.bool_], groups: Labels, seed: int
) -> Gap | None:  # fmt: skip
    words, counted, of_class = _AIMS[aim]
    rows = truth if of_class else np.ones_like(truth)
    return rate_gap(words, counted(answered, truth)[rows], groups[rows], seed=seed, shuffles=SHUFFLES)


def _strategies(
    answered: Mapping[str, NDArray[np.bool_]], truth: NDArray[np.bool_], gaps: Mapping[str, Mapping[str, Gap | None]],
    cost_ratio: float,
) -> Table:  # fmt: skip
    columns = [
        Column(name="thresholds"), *(Column(name=f"gap in {words}", kind="share") for words, _, _ in _AIMS.values()),
        Column(name="accuracy", kind="share"), Column(name="95 % interval", kind="interval"),
        Column(name="accuracy lost", kind="share"), Column(name="its interval", kind="interval"),
        Column(name="cost per image", kind="number"), Column(name="cost, 95 %", kind="interval"),
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for key, given in answered.items():
        right = wilson(int((given == truth).sum()), len(truth))
        lost = mean_difference((answered["single"] == truth).astype(float) - (given == truth))
        cost = mean(cost_of(given, truth, cost_ratio))
        found = [gap.gap.value if gap else None for gap in gaps[key].values()]
        rows.append([key, *found, right.value, [right.low, right.high], lost.value, [lost.low, lost.high],
                     round(cost.value, 3), [round(cost.low, 3), round(cost.high, 3)]])  # fmt: skip
    return Table(title=f"Thresholds; a false positive costs {cost_ratio:g}, a false negative 1", columns=columns,
                 rows=rows)  # fmt: skip


def _cut_table(cuts: Mapping[str, NDArray[np.float64]], names: Sequence[str]) -> Table:
    columns = [Column(name="strategy"), *(Column(name=name, kind="number") for name in names)]
    rows: list[list[Cell]] = [
        [key, *(round(float(v), 4) if np.isfinite(v) else None for v in values)] for key, values in cuts.items()
    ]
    return Table(title="Thresholds on the probability of the class (empty: never answered)", columns=columns, rows=rows)


def _keep(
    folder: RunFolder, audit: Audit, heads: Mapping[str, Head], thresholds: Mapping[str, Mapping[str, float]],
    classes: Sequence[str],
) -> None:  # fmt: skip
    """Write the audit, and as tables the layers and thresholds that were found."""
    for name, head in heads.items():
        weights = {f"weight_{i}": column for i, column in enumerate(head.weight.T)}
        folder.write_table(f"head_{name}", pd.DataFrame({"class": list(classes), "bias": head.bias, **weights}))
    if thresholds:
        rows = [(strategy, group, value) for strategy, by in thresholds.items() for group, value in by.items()]
        folder.write_table("thresholds", pd.DataFrame(rows, columns=["strategy", "group", "threshold"]))
    folder.write_audit(audit)


def _explain_reweighing() -> None:
    """Does reweighing close the gaps between groups?

    What it asks:
        The last layer is trained anew on the features that the network has, with images weighted so that class and
        group are independent, and compared with the classifier as it is and with a layer trained without weights.

    Why it matters:
        Where a class is common in one group, the group can stand in for the class.

    How to read it:
        Half of the images (of each class in each group) are for fitting; all numbers are of the other half. The shaded
        range is what would be a warning or a failure. What accuracy it costs is counted image by image.

    Limits:
        The features stay as they are: what they do not hold cannot be used. The penalty is not tuned. Repeating it
        until it looks good makes the half that is shown a half that was fitted on.

    References:
        F. Kamiran, T. Calders, Data preprocessing techniques for classification without discrimination, 2012.

        R. Bellamy et al., AI Fairness 360, 2018.
    """


def _explain_balanced() -> None:
    """Does a last layer trained on balanced images close the gaps?

    What it asks:
        The last layer is trained anew on images of which every class of every group has as many (ten times, on other
        images, and averaged), and compared with the classifier as it is and with a layer trained on all images.

    Why it matters:
        A network that relies on a shortcut often has the right features, too; what it does with them is cheap to
        change.

    How to read it:
        Half of the images (of each class in each group) are for fitting; all numbers are of the other half. The shaded
        range is what would be a warning or a failure. What accuracy it costs is counted image by image.

    Limits:
        The rarest class of the rarest group decides how many images are used. The features stay as they are.

    References:
        P. Kirichenko et al., Last layer re-training is sufficient for robustness to spurious correlations, ICLR 2023.
    """


def _explain_thresholds() -> None:
    """Can thresholds make groups alike, and at which price?

    What it asks:
        For one class against the rest: one threshold for all, the cheapest of each group, and those that make groups
        alike in how often the class is answered (demographic parity), in true-positive rates (equal opportunity) or in
        accuracy; and your own. A false positive costs the cost ratio, a false negative 1.

    Why it matters:
        The aims exclude one another where groups differ; the table shows what each takes from the others.

    How to read it:
        Thresholds are chosen on half of the images and shown on the other half, so that gaps do not vanish exactly.
        Each pair of bars is one aim before (one threshold for all) and after.

    Limits:
        Thresholds by group use the group at prediction time: that needs it to be known, and the law forbids or
        restricts it in many places and uses. They change no ranking within a group.

    References:
        M. Hardt, E. Price, N. Srebro, Equality of opportunity in supervised learning, NeurIPS 2016.

        J. Wexler et al., The What-If Tool, IEEE TVCG 2020.
    """


_EXPLAINED = {REWEIGHED: _explain_reweighing, BALANCED: _explain_balanced, THRESHOLDS: _explain_thresholds}
