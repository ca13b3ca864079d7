"""fairness.groups: does it perform worse for some groups?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import GROUP, LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import listed, percent, plural, points, points_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table, Verdict
from deeptroubles.methods.fairness.by_group import MIN_GROUP, by_group
from deeptroubles.methods.fairness.gaps import SHUFFLES, Gap, calibration_gap, class_gaps, corrected, largest, rate_gap
from deeptroubles.methods.fairness.groupings import Grouping, groupings
from deeptroubles.recording import Recording
from deeptroubles.statistics.calibration import calibration_error
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval, wilson

ALPHA = 0.05
LIMITS = Limits(
    "the gap between the best- and the worst-performing group, in accuracy, calibration error, or a class's true- or "
    "false-positive rate,",
    warn_at=0.10,
    fail_at=0.20,
    note=f"A gap counts only if shuffled groups rarely reach it (p < {ALPHA} after Holm's correction for all gaps). "
    f"Groups with fewer than {MIN_GROUP} images are not judged. The thresholds are conventions; the first is AIF360's.",
    show=points,
)
MAX_CLASSES = 50
MAX_ROWS = 60
MAX_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """The performance on one group of one grouping.

    Attributes:
        grouping: The column, or the columns.
        name: The group.
        images: How many labelled images it has.
        accuracy: Its accuracy; None where there are fewer than MIN_GROUP images.
        calibration: The expected calibration error beyond chance, likewise.
    """

    grouping: str
    name: str
    images: int
    accuracy: Interval | None
    calibration: Interval | None


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The performance on every group, and the gaps between them.

    Attributes:
        images: How many labelled images there are.
        groups: All groups of all groupings.
        gaps: The grouping of each gap and the gap; p is corrected (Holm) over all of them.
        names: The names of the groups of each grouping.
        notes: What was left out, in sentences.
    """

    images: int
    groups: tuple[GroupResult, ...]
    gaps: tuple[tuple[str, Gap], ...]
    names: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def largest(self) -> Interval:
        """The highest value and ends over all gaps."""
        return largest([gap for _, gap in self.gaps])

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.gaps:
            yield Finding(
                check="fairness.groups",
                verdict=Verdict.INCONCLUSIVE,
                claim=f"Inconclusive: no column has two groups with {MIN_GROUP} labelled images or more.",
                criterion=LIMITS.criterion,
                evidence=[self._groups()] if self.groups else [],
                caveats=self.notes,
            )
            return
        yield Finding(
            check="fairness.groups",
            verdict=LIMITS.verdict(self.largest, self.images),
            severity=self.largest.low if self.largest.low > 0 else self.largest.value / 2,
            claim=self._claim(),
            criterion=LIMITS.criterion,
            evidence=[*self._estimates(), self._groups(), self._table()],
            caveats=[
                *few(self.images),
                *self.notes,
                "A gap shows that performance differs between groups, not why. Groups are those that were given.",
            ],
        )

    def _claim(self) -> str:
        grouping, gap = self.gaps[0]
        worst, best = (f"{percent(gap.values[k][0])} for {self.names[grouping][k]}" for k in (gap.worst, gap.best))
        significant = sum(g.gap.low > 0 for _, g in self.gaps)
        if not significant:
            return (
                f"None of {len(self.gaps)} gaps between groups is significant; the largest is in {_words(gap)} by "
                f"{grouping}, {points_interval(gap.gap)}: {worst}, {best}."
            )
        words = _words(gap)
        return (
            f"{words[:1].upper()}{words[1:]} differs by {points_interval(gap.gap)} between groups of {grouping}: "
            f"{worst}, {best} ({significant} of {plural(len(self.gaps), 'gap')} significant)."
        )

    def _estimates(self) -> list[Evidence]:
        """The largest gap of each grouping."""
        shown: dict[str, Gap] = {}
        for grouping, gap in self.gaps:
            shown.setdefault(grouping, gap)
        return [
            LIMITS.estimate(
                f"Largest gap by {grouping}: {_words(gap)}", gap.gap, sum(n for _, n in gap.values.values())
            )
            for grouping, gap in shown.items()
        ]

    def _groups(self) -> Table:
        columns = [
            Column(name="column"),
            Column(name="group"),
            Column(name="images", kind="number"),
            Column(name="accuracy", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="calibration error", kind="share"),
            Column(name="95% CI", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        order = list(dict.fromkeys(g.grouping for g in self.groups))
        for group in sorted(self.groups, key=lambda g: (order.index(g.grouping), _accuracy(g), g.name))[:MAX_ROWS]:
            if group.accuracy and group.calibration:
                a, c = group.accuracy, group.calibration
                cells: list[Cell] = [group.name, group.images, a.value, _rounded(a), c.value, _rounded(c)]
            else:
                cells = [f"{group.name} (too few images)", group.images, None, None, None, None]
            rows.append([group.grouping, *cells])
        return Table(title="Groups, worst first; calibration error beyond chance", columns=columns, rows=rows)

    def _table(self) -> Table:
        columns = [
            Column(name="measure"),
            Column(name="column"),
            Column(name="worst"),
            Column(name="best"),
            Column(name="gap", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="ratio", kind="number"),
            Column(name="p", kind="number"),
        ]
        rows: list[list[Cell]] = []
        for grouping, gap in self.gaps[:MAX_ROWS]:
            what = gap.measure.replace("true positives of", "TPR,").replace("false positives of", "FPR,")
            ends = (f"{self.names[grouping][k]}: {percent(gap.values[k][0])}" for k in (gap.worst, gap.best))
            rows.append([what, grouping, *ends, gap.gap.value, _rounded(gap.gap), round(gap.ratio, 2), round(gap.p, 4)])
        title = "Gaps between the best and the worst group (TPR, FPR: true- and false-positive rate)"
        return Table(title=title, columns=columns, rows=rows)


def _rounded(interval: Interval) -> list[float]:
    return [round(interval.low, 3), round(interval.high, 3)]


def _words(gap: Gap) -> str:
    kind, _, name = gap.measure.partition(" positives of ")
    if name:
        return f"the {kind}-positive rate of {name}"
    return "the calibration error" if gap.measure == "calibration" else gap.measure


def _accuracy(group: GroupResult) -> float:
    return group.accuracy.value if group.accuracy else 2.0


@check("fairness.groups", needs=[LABELS, GROUP])
def groups(recording: Recording, engine: Engine, *, seed: int) -> Groups:
    """Does it perform worse for some groups?

    What it asks:
        For each column given with --group, and for intersections of up to three of them: how much do accuracy,
        calibration error, and each class's true- and false-positive rates (against the rest) differ between the
        best- and the worst-performing group?

    Why it matters:
        An overall number hides failures on groups. Commercial gender classifiers were wrong on 0.8% of lighter-skinned
        men and on 34.7% of darker-skinned women, which only intersections of two columns show.

    How to read it:
        By chance, the highest of several rates is above the lowest even if all groups are equal, so every gap is
        compared with shuffled groups, and all gaps are corrected together (Holm). Intervals of shares are Wilson's,
        those of gaps come from resampling within groups. The ratio is lowest over highest (the four-fifths rule
        requires 0.8). Groups with fewer than 30 images are listed and not judged.

    Limits:
        Groups are those that were given: nothing here guesses a person's attributes. Columns with many numbers are
        divided into ranges. A difference in accuracy can come from different classes in the groups; the rates by class
        do not have this problem. Equal rates are one definition of fairness among several that exclude each other.

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
    common = present[np.argsort(-counts, kind="stable")][:MAX_CLASSES]
    classes = {int(k): recording.subject.classifier.class_names[k] for k in np.sort(common)}
    found, gaps, every = list[GroupResult](), list[tuple[str, Gap]](), groupings(table, GROUP.of(recording) or ())
    # Enough shuffles for the smallest p to be significant after correction for all gaps.
    shuffles = max(SHUFFLES, 40 * len(every) * (2 * len(classes) + 2))
    for grouping in every:
        found += _performance(grouping, targets, predicted, confidence, seed)
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


def _performance(
    grouping: Grouping,
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    seed: int,
) -> list[GroupResult]:
    """The performance on each group of a grouping."""
    sizes = grouping.sizes()
    if not (sizes >= MIN_GROUP).any():
        return [
            GroupResult(grouping=grouping.name, name=n, images=int(c), accuracy=None, calibration=None)
            for n, c in zip(grouping.names, sizes, strict=True)
        ]
    rows = grouping.codes >= 0
    measured = by_group({"accuracy": accuracy_score}, targets[rows], predicted[rows], {"group": grouping.codes[rows]})
    accuracy = dict(zip(map(int, measured.table.index), measured.table["accuracy"], strict=True))
    found = []
    for code, (name, size) in enumerate(zip(grouping.names, sizes, strict=True)):
        share = calibration = None
        if size >= MIN_GROUP:
            inside = grouping.codes == code
            share = wilson(round(accuracy[code] * size), int(size))
            hits = predicted[inside] == targets[inside]
            calibration = calibration_error(confidence[inside], hits, seed=seed).corrected
        found.append(
            GroupResult(grouping=grouping.name, name=name, images=int(size), accuracy=share, calibration=calibration)
        )
    return found


def _notes(every: list[Grouping], classes: dict[int, str], predicted: NDArray[np.int64], present: int) -> Iterable[str]:
    """What was left out, a sentence each."""
    for grouping in every:
        missing = int((grouping.codes < 0).sum())
        sizes = grouping.sizes()
        small = [name for name, size in zip(grouping.names, sizes, strict=True) if size < MIN_GROUP]
        if missing:
            yield f"{plural(missing, 'labelled image')} without a value of {grouping.name} not used for it."
        if len(grouping.names) == 1:
            yield f"The column {grouping.name} has only one value ({grouping.names[0]}), so there is nothing to "
            "compare."
        elif small:
            listing = listed(small, most=MAX_NAMED)
            yield f"Groups of {grouping.name} with fewer than {MIN_GROUP} images, not judged: {listing}."
    never = [name for index, name in classes.items() if not (predicted == index).any()]
    if never:
        yield f"Never predicted, so the rates are 0 in every group: {listed(never, most=MAX_NAMED)}."
    if present > len(classes):
        yield f"Rates by class are for the {len(classes)} most common of {present} classes."
