"""performance.accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deeptroubles.checks.limits import MIN_IMAGES, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson

FAR_BELOW = 0.5
"""A class fails when its accuracy is certainly below this share of the overall accuracy."""

SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """How often the images of one class were recognised. `bound` is corrected for the number of classes."""

    name: str
    images: int
    right: int
    interval: Interval
    bound: float


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Right answers, overall and by class, and the mistakes."""

    images: int
    right: int
    overall: Interval
    baseline: float
    classes: tuple[ClassAccuracy, ...]
    confused: tuple[tuple[str, str, int], ...]
    mistakes: tuple[GridItem, ...]

    def failing_classes(self) -> list[ClassAccuracy]:
        """The classes that are certainly far worse than the whole."""
        return [c for c in self.classes if c.bound < FAR_BELOW * self.overall.low]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        failing = self.failing_classes()
        claim = (
            f"It is right on {self.right} of {self.images} labelled images, {percent_interval(self.overall)}; always "
            f"answering the most common class would be right on {percent(self.baseline)}."
        )
        if self.images < MIN_IMAGES:
            verdict = Verdict.INCONCLUSIVE
        elif self.overall.high <= self.baseline or failing:
            verdict = Verdict.FAIL
        else:
            verdict = Verdict.PASS if self.overall.low > self.baseline else Verdict.INCONCLUSIVE
        if failing:
            worst = failing[0]
            others = f", as are {len(failing) - 1} more classes" if len(failing) > 1 else ""
            claim += f" {worst.name} is far behind, {worst.right} of {worst.images}{others}."
        yield Finding(
            check="performance.accuracy",
            verdict=verdict,
            severity=1 - self.overall.value,
            claim=claim,
            criterion="Passes when it is better than always answering the most common class with 95 % confidence; "
            f"fails when it is not, or when a class is certainly below {percent(FAR_BELOW)} of the overall accuracy "
            f"(95 %, corrected for the number of classes); inconclusive otherwise, and below {MIN_IMAGES} images.",
            evidence=self._evidence(),
            caveats=[*few(self.images), "It says how often the answer is right, not whether for the right reason."],
        )

    def _evidence(self) -> list[Evidence]:
        rows: list[list[Cell]] = [
            [c.name, c.images, c.interval.value, [c.interval.low, c.interval.high]] for c in self.classes
        ]
        columns = [
            Column(name="class"),
            Column(name="images", kind="number"),
            Column(name="accuracy", kind="share"),
            Column(name="95 % interval", kind="interval"),
        ]
        value, low, high = self.overall
        evidence: list[Evidence] = [
            Estimate(
                label="Accuracy",
                value=value,
                low=low,
                high=high,
                n=self.images,
                fail_at=self.baseline,
                higher_is_worse=False,
            ),
            Table(title="Accuracy by class, worst first", columns=columns, rows=rows),
        ]
        if self.confused:
            names = [Column(name="true class"), Column(name="answer"), Column(name="images", kind="number")]
            evidence.append(Table(title="Most confused pairs", columns=names, rows=self.confused))
        if self.mistakes:
            evidence.append(ImageGrid(title="The mistakes it was surest of", items=self.mistakes))
        return evidence


@check("performance.accuracy", needs=[LABELS])
def accuracy(recording: Recording, engine: Engine, *, seed: int) -> Accuracy:
    """How often is it right, and on which classes is it not?

    What it asks:
        The share of labelled images whose most likely class is their label: over all of them, for each class, and
        which pairs of classes it mixes up.

    Why it matters:
        Every other finding is read against this one: a classifier that is wrong needs no shortcut. An overall number
        hides classes that are never recognised.

    How to read it:
        The interval is what the accuracy could be on other images drawn like these (Wilson's interval, 95 %). The
        mark at which it fails is what always giving the most common class would reach. In the table, the worst classes
        come first; with few images a class the interval is wide, and only classes that are certainly far behind count.

    Limits:
        Images that share a source with the training data flatter the classifier. Images without a label, or with a
        label that is not among the classes, are left out and listed at the end of the report.

    References:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.

        B. Recht et al., Do ImageNet classifiers generalize to ImageNet?, ICML 2019.
    """
    rows = recording.labelled
    targets, predicted = recording.targets[rows], recording.predicted[rows]
    correct = predicted == targets
    names = recording.subject.classifier.class_names
    present, counts = np.unique(targets, return_counts=True)
    level = 1 - 0.05 / len(present)
    classes = []
    for target, count in zip(present, counts, strict=True):
        right = int(correct[targets == target].sum())
        classes.append(
            ClassAccuracy(
                name=names[target],
                images=int(count),
                right=right,
                interval=wilson(right, int(count)),
                bound=wilson(right, int(count), level).high,
            )
        )
    pairs = Counter(zip(targets[~correct].tolist(), predicted[~correct].tolist(), strict=True))
    return Accuracy(
        images=len(rows),
        right=int(correct.sum()),
        overall=wilson(int(correct.sum()), len(rows)),
        baseline=float(counts.max() / counts.sum()),
        classes=tuple(sorted(classes, key=lambda c: (c.bound, -c.images, c.name))),
        confused=tuple((names[t], names[p], count) for (t, p), count in pairs.most_common(20)),
        mistakes=_surest_mistakes(recording, rows[~correct]),
    )


def _surest_mistakes(recording: Recording, rows: np.ndarray) -> tuple[GridItem, ...]:
    confidence = recording.probabilities[rows].max(1)
    names = recording.subject.classifier.class_names
    items = []
    for row in rows[np.argsort(-confidence, kind="stable")][:SHOWN]:
        true, answer = names[recording.targets[row]], names[recording.predicted[row]]
        sure = percent(recording.probabilities[row].max())
        pixels = recording.subject.pixels([row])[0].cpu().numpy()
        shown = picture(pixels, f"An image of class {true}, answered {answer}")
        items.append(GridItem(picture=shown, caption=f"{answer}, {sure}", note=f"labelled {true}"))
    return tuple(items)
