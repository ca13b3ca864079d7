"""fairness.groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.options import GROUP, LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, Table, Verdict
from deeptroubles.methods.fairness.by_group import FLOOR, by_group
from deeptroubles.methods.fairness.gaps import SHUFFLES, Gap, calibration_gap, class_gaps, corrected, largest, rate_gap
from deeptroubles.methods.fairness.groupings import Grouping, groupings
from deeptroubles.recording import Recording
from deeptroubles.statistics.calibration import calibration_error
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval, wilson

WARN_AT, FAIL_AT = 0.10, 0.20
"""The first is the fair band that AIF360's demonstration draws."""
ALPHA = 0.05
MOST_CLASSES = 50
ROWS = 60
SOME = 4


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of one grouping.

    Attributes:
        grouping: The column, or the columns.
        name: The group.
        images: How many labelled images it has.
        accuracy: Of the answers; None where there are fewer than FLOOR images.
        calibration: The expected calibration error beyond chance, likewise.
    """

    grouping: str
    name: str
    images: int
    accuracy: Interval | None
    calibration: Interval | None


@dataclass(frozen=True, kw_only=True)
class Groups:
    """How the groups fare, and the gaps between them.

    Attributes:
        images: How many labelled images there are.
        groups: All groups of all groupings.
        gaps: The grouping of each gap and the gap; p is corrected (Holm) over all of them.
        names: The names of the groups of each grouping.
        notes: What could not be told, in sentences.
    """

    images: int
    groups: tuple[Group, ...]
    gaps: tuple[tuple[str, Gap], ...]
    names: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def largest(self) -> Interval:
        """The highest value and ends over all gaps."""
        return largest([gap for _, gap in self.gaps])

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        rule = (
            criterion("the gap between the groups that fare best and worst", warn_at=WARN_AT, fail_at=FAIL_AT)
            + " Looked at are accuracy, calibration error, and each class's true- and false-positive rates. A gap "
            f"counts when shuffled groups seldom show it (p < {ALPHA} after Holm's correction for all gaps). The "
            f"thresholds are our convention. Groups of fewer than {FLOOR} images are too few to say."
        )
        if not self.gaps:
            yield Finding(
                check="fairness.groups",
                verdict=Verdict.INCONCLUSIVE,
                claim=f"Nothing can be said of groups: no column has two groups of {FLOOR} labelled images or more.",
                criterion=rule,
                evidence=[self._groups()] if self.groups else [],
                caveats=self.notes,
            )
            return
        yield Finding(
            check="fairness.groups",
            verdict=judge(self.largest, self.images, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=self.largest.low if self.largest.low > 0 else self.largest.value / 2,
            claim=self._claim(),
            criterion=rule,
            evidence=[*self._estimates(), self._groups(), self._table()],
            caveats=[
                *few(self.images),
                *self.notes,
                "A gap says that groups fare differently, not why. Groups are those that were given.",
            ],
        )

    def _claim(self) -> str:
        grouping, gap = self.gaps[0]
        worst, best = (f"{percent(gap.values[k][0])} for {self.names[grouping][k]}" for k in (gap.worst, gap.best))
        certain = sum(g.gap.low > 0 for _, g in self.gaps)
        if not certain:
            return (
                f"None of {len(self.gaps)} gaps between groups is certain; the largest is that in {_words(gap)} by "
                f"{grouping}, {percent_interval(gap.gap)}: {worst}, {best}."
            )
        return (
            f"By {grouping}, {_words(gap)} differs by {percent_interval(gap.gap)}: {worst}, {best}. Of "
            f"{len(self.gaps)} gaps looked at, {certain} {'is' if certain == 1 else 'are'} more than chance."
        )

    def _estimates(self) -> list[Evidence]:
        """The largest gap of each grouping, then how each group of the first one fares in it."""
        shown: dict[str, Gap] = {}
        for grouping, gap in self.gaps:
            shown.setdefault(grouping, gap)
        found: list[Evidence] = [
            Estimate(
                label=f"Largest gap by {grouping}: {_words(gap)}",
                value=gap.gap.value,
                low=gap.gap.low,
                high=gap.gap.high,
                n=sum(n for _, n in gap.values.values()),
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            for grouping, gap in shown.items()
        ]
        return found

    def _groups(self) -> Table:
        columns = [
            Column(name="by"),
            Column(name="group"),
            Column(name="images", kind="number"),
            Column(name="accuracy", kind="share"),
            Column(name="95 %", kind="interval"),
            Column(name="calibration error", kind="share"),
            Column(name="95 %", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        order = list(dict.fromkeys(g.grouping for g in self.groups))
        for group in sorted(self.groups, key=lambda g: (order.index(g.grouping), _accuracy(g), g.name))[:ROWS]:
            if group.accuracy and group.calibration:
                a, c = group.accuracy, group.calibration
                cells: list[Cell] = [group.name, group.images, a.value, _rounded(a), c.value, _rounded(c)]
            else:
                cells = [f"{group.name} (too few to say)", group.images, None, None, None, None]
            rows.append([group.grouping, *cells])
        return Table(title="Groups, worst first; calibration error beyond chance", columns=columns, rows=rows)

    def _table(self) -> Table:
        columns = [
            Column(name="what"),
            Column(name="by"),
            Column(name="worst"),
            Column(name="best"),
            Column(name="gap", kind="share"),
            Column(name="95 %", kind="interval"),
            Column(name="ratio", kind="number"),
            Column(name="p", kind="number"),
        ]
        rows: list[list[Cell]] = []
        for grouping, gap in self.gaps[:ROWS]:
            what = gap.measure.replace("true positives of", "TPR,").replace("false positives of", "FPR,")
            ends = (f"{self.names[grouping][k]}: {percent(gap.values[k][0])}" for k in (gap.worst, gap.best))
            rows.append(
                [
                    what,
                    grouping,
                    *(end.replace(" %", "\u00a0%") for end in ends),
                    gap.gap.value,
                    _rounded(gap.gap),
                    round(gap.ratio, 2),
                    round(gap.p, 4),
                ]
            )
        title = "Gaps between the best and the worst group (TPR, FPR: true- and false-positive rate)"
        return Table(title=title, columns=columns, rows=rows)


def _rounded(interval: Interval) -> list[float]:
    return [round(interval.low, 3), round(interval.high, 3)]


def _words(gap: Gap) -> str:
    kind, _, name = gap.measure.partition(" positives of ")
    if name:
        return f"the {kind}-positive rate of {name}"
    return "the calibration error" if gap.measure == "calibration" else gap.measure


def _accuracy(group: Group) -> float:
    return group.accuracy.value if group.accuracy else 2.0


@check("fairness.groups", needs=[LABELS, GROUP])
def groups(recording: Recording, engine: Engine, *, seed: int) -> Groups:
    """Does it fail some groups more than others?

    What it asks:
        For each column that was named with --group, and for intersections of up to three of them: how much do accuracy,
        calibration error, and each class's true- and false-positive rates (against the rest) differ between the group
        that fares best and the one that fares worst?

    Why it matters:
        An overall number hides whom a classifier fails. Commercial classifiers of gender were wrong on 0.8 % of
        lighter-skinned men and on 34.7 % of darker-skinned women, which shows only where two columns are crossed.

    How to read it:
        The highest minus the lowest of several rates is above 0 even where all groups are alike, so every gap is set
        against shuffled groups, and all gaps that were looked at are corrected for together (Holm). Intervals of shares
        are Wilson's, those of gaps are from resampling within groups. The ratio is lowest over highest (the four-fifths
        rule asks for 0.8). Groups of fewer than 30 images are listed and never judged.

    Limits:
        Groups are those that were given: nothing here guesses a person's attributes. Numbers in a column are cut into
        ranges where they are many. A difference in accuracy can come from groups having other classes; the rates by
        class do not have that trouble. Equal rates are one idea of fairness among several that exclude one another.

    References:
        J. Buolamwini, T. Gebru, Gender shades, FAT* 2018.

        S. Bird et al., Fairlearn: A toolkit for assessing and improving fairness in AI, 2020.

        M. Hardt, E. Price, N. Srebro, Equality of opportunity in supervised learning, NeurIPS 2016.
    """
    rows = recording.labelled
    targets, predicted = recording.targets[rows], recording.predicted[rows]
    confidence, correct = recording.probabilities[rows].max(1), predicted == targets
    table = recording.subject.images.table.iloc[rows]
    present, counts = np.unique(targets, return_counts=True)
    most = present[np.argsort(-counts, kind="stable")][:MOST_CLASSES]
    classes = {int(k): recording.subject.classifier.class_names[k] for k in np.sort(most)}
    found, gaps, every = list[Group](), list[tuple[str, Gap]](), groupings(table, GROUP.of(recording) or ())
    # As many shuffles as it takes for the smallest p to count after correction for all gaps.
    shuffles = max(SHUFFLES, 40 * len(every) * (2 * len(classes) + 2))
    for grouping in every:
        found += _fares(grouping, targets, predicted, confidence, seed)
        overall = (
            rate_gap("accuracy", correct, grouping.codes, seed=seed, shuffles=shuffles),
            calibration_gap(confidence, correct, grouping.codes, seed=seed),
        )
        by_class = class_gaps(targets, predicted, grouping.codes, classes, seed=seed, shuffles=shuffles)
        gaps += [(grouping.name, gap) for gap in (*overall, *by_class) if gap]
    p_values = holm(np.array([gap.p for _, gap in gaps]))
    judged = zip([name for name, _ in gaps], corrected([gap for _, gap in gaps], p_values, ALPHA), strict=True)
    return Groups(
        images=len(rows),
        groups=tuple(found),
        gaps=tuple(sorted(judged, key=lambda g: (-g[1].gap.low, -g[1].gap.value, g[0], g[1].measure))),
        names={grouping.name: grouping.names for grouping in every},
        notes=tuple(_notes(every, classes, predicted, len(present))),
    )


def _fares(
    grouping: Grouping,
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    seed: int,
) -> list[Group]:
    """How each group of a grouping fares."""
    sizes = grouping.sizes()
    if not (sizes >= FLOOR).any():
        return [
            Group(grouping=grouping.name, name=n, images=int(c), accuracy=None, calibration=None)
            for n, c in zip(grouping.names, sizes, strict=True)
        ]
    rows = grouping.codes >= 0
    measured = by_group({"accuracy": accuracy_score}, targets[rows], predicted[rows], {"group": grouping.codes[rows]})
    accuracy = dict(zip(map(int, measured.table.index), measured.table["accuracy"], strict=True))
    found = []
    for code, (name, size) in enumerate(zip(grouping.names, sizes, strict=True)):
        right = calibration = None
        if size >= FLOOR:
            inside = grouping.codes == code
            right = wilson(round(accuracy[code] * size), int(size))
            hits = predicted[inside] == targets[inside]
            calibration = calibration_error(confidence[inside], hits, seed=seed).corrected
        found.append(
            Group(grouping=grouping.name, name=name, images=int(size), accuracy=right, calibration=calibration)
        )
    return found


def _notes(every: list[Grouping], classes: dict[int, str], predicted: NDArray[np.int64], present: int) -> Iterable[str]:
    """What cannot be told, or was left out, a sentence each."""
    for grouping in every:
        missing = int((grouping.codes < 0).sum())
        sizes = grouping.sizes()
        small = [name for name, size in zip(grouping.names, sizes, strict=True) if size < FLOOR]
        if missing:
            one = missing == 1
            yield (
                f"{missing} labelled image{' has' if one else 's have'} no value of {grouping.name} and "
                f"{'is' if one else 'are'} left out there."
            )
        if len(grouping.names) == 1:
            yield f"The column {grouping.name} has one value only, {grouping.names[0]}, so there is nothing to compare."
        elif small:
            yield f"By {grouping.name}, too few images to say (below {FLOOR}): {_some(small)}."
    never = [name for index, name in classes.items() if not (predicted == index).any()]
    if never:
        yield f"Never answered, so that its rates are 0 in every group: {_some(never)}."
    if present > len(classes):
        yield f"Rates by class are those of the {len(classes)} most common of {present} classes."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return ", ".join(names[:SOME]) + more
