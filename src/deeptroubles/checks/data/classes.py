"""data.classes: do the labels name classes of the model?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deeptroubles.checks.limits import estimate
from deeptroubles.checks.options import ANY_LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import listed, plural
from deeptroubles.engine import Engine
from deeptroubles.errors import closest
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table, Verdict
from deeptroubles.images.labels import LabelMatch
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import wilson

MAX_ROWS, MAX_NAMED = 100, 6
_ADVICE = "Give the names of the classes, in the order of the model's outputs, with --classes (class_names= in Python)"


@dataclass(frozen=True, kw_only=True)
class DataClasses:
    """Which labels mean which classes.

    Attributes:
        labels: How many images have each label.
        lost: How many images have each label that has no class.
        classes: How many labelled images each class has, in the order of the model's outputs.
        match: How labels were read.
    """

    labels: Mapping[str, int]
    lost: Mapping[str, int]
    classes: Mapping[str, int]
    match: LabelMatch

    @property
    def verdict(self) -> Verdict:
        """Fail if no label can be used."""
        if self.match.undecided:
            return Verdict.INCONCLUSIVE
        if not any(self.classes.values()):
            return Verdict.FAIL
        return Verdict.WARN if self.lost or self.match.doubt else Verdict.PASS

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        yield Finding(
            check="data.classes",
            verdict=self.verdict,
            priority=2,
            severity=sum(self.lost.values()) / sum(self.labels.values()),
            claim=self._claim(),
            criterion="Passes if every label has a class. Fails if none has. Warns if some have none, or if another "
            "order of the class names agrees with the predictions significantly more often (sign test, 1%). "
            "Inconclusive if labels do not name classes, and no way to read them agrees with the predictions "
            "significantly more often than the others.",
            evidence=self._evidence(),
            caveats=[
                *(text for text in (self.match.note, self.match.doubt) if text),
                "Images without a class are left out of every check that needs labels.",
            ],
        )

    def _claim(self) -> str:
        images = sum(self.labels.values())
        if self.match.undecided:
            return f"{plural(images, 'label')} cannot be used. {self.match.undecided}"
        if not any(self.classes.values()):
            labels, classes = (listed(list(names), most=MAX_NAMED) for names in (self.labels, self.classes))
            return (
                f"None of {plural(images, 'label')} has a class: the labels are {labels}; the classes are {classes}. "
                f"{_ADVICE}."
            )
        if self.lost:
            return self._claim_about_lost()
        used = sum(count > 0 for count in self.classes.values())
        return self.match.doubt or (
            f"Every label of {plural(images, 'image')} has a class; {used} of "
            f"{plural(len(self.classes), 'class', 'classes')} have images."
        )

    def _claim_about_lost(self) -> str:
        lost, count = self.lost, sum(self.lost.values())
        cases = [f"{label}{_hint(label, self.classes)}" for label in sorted(lost, key=lambda k: (-lost[k], k))]
        return (
            f"{count} of {plural(sum(self.labels.values()), 'labelled image')} {'has' if count == 1 else 'have'} a "
            f"label without a class and {'is' if count == 1 else 'are'} left out: {listed(cases, most=MAX_NAMED)}."
        )

    def _evidence(self) -> list[Evidence]:
        images, lost = sum(self.labels.values()), self.lost
        shown: list[Evidence] = [estimate("Labels without a class", wilson(sum(lost.values()), images), images)]
        if lost:
            rows: list[list[Cell]] = [
                [label, count, next(iter(closest(label, self.classes)), "")]
                for label, count in sorted(lost.items(), key=lambda item: (-item[1], item[0]))
            ]
            columns = [Column(name="label"), Column(name="images", kind="number"), Column(name="nearest class")]
            shown.append(Table(title="Labels without a class", columns=columns, rows=rows[:MAX_ROWS]))
        classes: list[list[Cell]] = [[name, count] for name, count in sorted(self.classes.items(), key=lambda i: i[1])]
        columns = [Column(name="class"), Column(name="images", kind="number")]
        shown.append(
            Table(title="Classes of the model, those without images first", columns=columns, rows=classes[:MAX_ROWS])
        )
        return shown


def _hint(label: str, classes: Iterable[str]) -> str:
    near = closest(label, classes)
    return f" (nearest class: {near[0]})" if near else ""


@check("data.classes", needs=[ANY_LABELS], always=True)
def classes(recording: Recording, engine: Engine, *, seed: int) -> DataClasses:
    """Do the labels name classes of the model?

    What it asks:
        Which class does each label mean? A label that is the name of a class means this class. Where the model has no
        class names, or labels are numbers, there are several ways to read them (indices from 0 or from 1, the order of
        text, the order of numbers): the predictions decide between them, if one way is correct significantly more often
        than all others.

    Why it matters:
        With a shifted or permuted reading, every number that needs labels is wrong. A misspelt class is left out, and
        the others look fine.

    How to read it:
        The first table lists labels without a class, with the nearest name; the second lists the classes of the model.
        The audit always asks this, and shows the finding only where there is something to do.

    Limits:
        A reading is chosen by the model's own predictions: a model that confuses two classes throughout looks like
        swapped names. Give class names to be independent of it.

    References:
        Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
        Psychometrika 1947.
    """
    subject = recording.subject
    names = subject.classifier.class_names
    given = subject.images.labels
    without = (k for k, target in zip(given, recording.targets, strict=True) if k is not None and target < 0)
    count = Counter(recording.targets[recording.labelled].tolist())
    unique = {name if names.count(name) == 1 else f"{name} ({k})": k for k, name in enumerate(names)}
    return DataClasses(
        labels=Counter(label for label in given if label is not None),
        lost={} if recording.labels.undecided else Counter(without),
        classes={name: count[k] for name, k in unique.items()},
        match=recording.labels,
    )
