"""performance.accuracy: how often is it correct, and on which classes is it not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from deeptroubles.checks.limits import MIN_IMAGES, estimate, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson

FAR_BELOW = 0.5
"""A class fails when its accuracy is significantly below this share of the overall accuracy."""
EXAMPLES_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """The accuracy on the images of one class. `bound` is corrected for the number of classes."""

    name: str
    images: int
    correct: int
    interval: Interval
    bound: float


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy, overall and by class, and the mistakes. `guessing` is the accuracy of guessing a class."""

    images: int
    correct: int
    overall: Interval
    baseline: float
    guessing: float
    classes: tuple[ClassAccuracy, ...]
    confused: tuple[tuple[str, str, int], ...]
    mistakes: tuple[GridItem, ...]

    def failing_classes(self) -> list[ClassAccuracy]:
        """The classes that are significantly and far worse than all together."""
        return [c for c in self.classes if c.bound < FAR_BELOW * self.overall.low]

    @property
    def verdict(self) -> Verdict:
        """Compare with the most common class, or with guessing where there is only one class."""
        alone = len(self.classes) == 1
        to_beat = self.guessing if alone else self.baseline
        if self.images < MIN_IMAGES:
            return Verdict.INCONCLUSIVE
        if self.overall.high <= to_beat or self.failing_classes():
            return Verdict.FAIL
        return Verdict.PASS if self.overall.low > to_beat and not alone else Verdict.INCONCLUSIVE

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        failing, verdict = self.failing_classes(), self.verdict
        claim = f"Accuracy is {percent_interval(self.overall)} on {plural(self.images, 'labelled image')}"
        if len(self.classes) == 1:
            claim += f", all of class {self.classes[0].name}: a model that always predicts it would be correct on all"
        else:
            claim += f" (always predicting the most common class: {percent(self.baseline)})"
        if failing:
            worst = failing[0]
            others = f", as for {plural(len(failing) - 1, 'more class', 'more classes')}" if len(failing) > 1 else ""
            claim += f"; it is far lower for {worst.name} ({worst.correct} of {worst.images}){others}"
        yield Finding(
            check="performance.accuracy",
            verdict=verdict,
            severity=1 - self.overall.value,
            claim=f"{claim}.",
            criterion="Passes if the 95% interval lies above the accuracy of always predicting the most common class. "
            f"Fails if it lies below, or if a class is significantly below {percent(FAR_BELOW)} of the overall "
            "accuracy (95%, corrected for the number of classes). If all images are of one class, it fails if the "
            "interval lies below the accuracy of guessing, and never passes. Inconclusive otherwise, and with fewer "
            f"than {MIN_IMAGES} images.",
            evidence=self._evidence(),
            caveats=[*few(self.images), "Accuracy does not say whether predictions are correct for the right reason."],
        )

    def _evidence(self) -> list[Evidence]:
        rows: list[list[Cell]] = [
            [c.name, c.images, c.interval.value, [c.interval.low, c.interval.high]] for c in self.classes
        ]
        columns = [
            Column(name="class"),
            Column(name="images", kind="number"),
            Column(name="accuracy", kind="share"),
            Column(name="95% CI", kind="interval"),
        ]
        overall = estimate("Accuracy", self.overall, self.images, higher_is_worse=False)
        evidence: list[Evidence] = [
            overall if len(self.classes) == 1 else replace(overall, fail_at=self.baseline),
            Table(title="Accuracy by class, worst first", columns=columns, rows=rows),
        ]
        if self.confused:
            names = [Column(name="true class"), Column(name="prediction"), Column(name="images", kind="number")]
            evidence.append(Table(title="Most confused pairs", columns=names, rows=self.confused))
        if self.mistakes:
            evidence.append(ImageGrid(title="The most confident mistakes", items=self.mistakes))
        return evidence


@check("performance.accuracy", needs=[LABELS])
def accuracy(recording: Recording, engine: Engine, *, seed: int) -> Accuracy:
    """How often is it correct, and on which classes is it not?

    What it asks:
        The share of labelled images whose most likely class is their label: overall, for each class, and which pairs of
        classes are confused.

    Why it matters:
        Every other finding is read next to this one. An overall number hides classes that are never recognized.

    How to read it:
        The interval is for the accuracy on other images drawn like these (Wilson's interval, 95%). The failure
        threshold is the accuracy of always predicting the most common class. The table lists the worst classes first.
        With few images of a class the interval is wide; only classes that are significantly worse count. Images of one
        class cannot show more than that the class is recognized: the result is then inconclusive.

    Limits:
        Images that share a source with the training data overstate the accuracy. Images without a label, or with a
        label that matches no class, are left out and listed at the end of the report.

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
        hits = int(correct[targets == target].sum())
        classes.append(
            ClassAccuracy(
                name=names[target],
                images=int(count),
                correct=hits,
                interval=wilson(hits, int(count)),
                bound=wilson(hits, int(count), level).high,
            )
        )
    pairs = Counter(zip(targets[~correct].tolist(), predicted[~correct].tolist(), strict=True))
    return Accuracy(
        images=len(rows),
        correct=int(correct.sum()),
        overall=wilson(int(correct.sum()), len(rows)),
        baseline=float(counts.max() / counts.sum()),
        guessing=1 / recording.subject.classifier.classes,
        classes=tuple(sorted(classes, key=lambda c: (c.bound, -c.images, c.name))),
        confused=tuple((names[t], names[p], count) for (t, p), count in pairs.most_common(20)),
        mistakes=_confident_mistakes(recording, rows[~correct]),
    )


def _confident_mistakes(recording: Recording, rows: np.ndarray) -> tuple[GridItem, ...]:
    highest = recording.probabilities[rows].max(1)
    names = recording.subject.classifier.class_names
    items = []
    for row in rows[np.argsort(-highest, kind="stable")][:EXAMPLES_SHOWN]:
        true, predicted = names[recording.targets[row]], names[recording.predicted[row]]
        confidence = percent(recording.probabilities[row].max())
        pixels = recording.subject.pixels([row])[0].cpu().numpy()
        shown = picture(pixels, f"An image of class {true}, predicted as {predicted}", int(row))
        items.append(GridItem(picture=shown, caption=f"{predicted}, {confidence}", note=f"labelled {true}"))
    return tuple(items)
