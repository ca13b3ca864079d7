"""data.labels: which images are probably mislabelled?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table
from deeptroubles.recording import Recording
from deeptroubles.statistics.confident_learning import confident_labels, contradicted_by_chance
from deeptroubles.statistics.intervals import Interval, wilson

ALPHA = 0.05
LIMITS = Limits(
    "the share of labels that the classifier contradicts beyond what its own probabilities predict",
    warn_at=0.02,
    fail_at=0.05,
    note=f"Fails and warns only if labels drawn from these probabilities reach the observed share in less than "
    f"{percent(ALPHA)} of draws. The thresholds are conventions.",
)
MAX_IMAGES = 5000
"""The expected contradictions are counted on no more images than this."""
EXAMPLES_SHOWN, MAX_ROWS = 24, 20


@dataclass(frozen=True, kw_only=True)
class DataLabels:
    """Probably mislabelled images, the most probable first.

    Attributes:
        images: How many labelled images there are.
        rows: Those whose label is contradicted.
        labels: Their labels.
        suggested: Their more likely classes.
        expected: The share of labels that would be contradicted if every label was drawn from the classifier's own
            probabilities.
        p: How often as many are contradicted then.
        examples: The most probable of them.
    """

    images: int
    rows: NDArray[np.int64]
    labels: tuple[str, ...]
    suggested: tuple[str, ...]
    expected: float
    p: float
    examples: ImageGrid

    @property
    def beyond(self) -> Interval:
        """The share of contradicted labels beyond the expected share; its upper end is not reduced by it."""
        found = wilson(len(self.rows), self.images)
        value = max(0.0, found.value - self.expected)
        low = max(0.0, found.low - self.expected) if self.p < ALPHA else 0.0
        return Interval(value, min(low, value), found.high)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        beyond = self.beyond
        doubt = ""
        if self.labels:
            clearest = f"labelled {self.labels[0]} and predicted as {self.suggested[0]}"
            doubt = f"; the labels or the confidence are wrong (the clearest case is {clearest})"
        yield Finding(
            check="data.labels",
            verdict=LIMITS.verdict(beyond, self.images),
            severity=beyond.value,
            claim=f"The classifier contradicts {len(self.rows)} of {plural(self.images, 'label')}, "
            f"{percent_interval(beyond)} beyond the {percent(self.expected)} that its confidence predicts"
            f"{doubt}.",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "Use held-out images: the classifier may have learned the wrong labels of its training images.",
                "An overconfident classifier's own mistakes look like wrong labels; look at the examples.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        pairs, counts = np.unique(np.array([self.labels, self.suggested]).T.reshape(-1, 2), axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:MAX_ROWS]
        rows: list[list[Cell]] = [[str(pairs[i, 0]), str(pairs[i, 1]), int(counts[i])] for i in order]
        columns = [Column(name="labelled"), Column(name="more likely class"), Column(name="images", kind="number")]
        shown: list[Evidence] = [
            Table(title="Contradicted labels and the more likely classes", columns=columns, rows=rows),
            self.examples,
        ]
        return [
            LIMITS.estimate("Labels contradicted beyond the expected share", self.beyond, self.images),
            *(shown if rows else []),
        ]


@check("data.labels", needs=[LABELS])
def labels(recording: Recording, engine: Engine, *, seed: int) -> DataLabels:
    """Which images are probably mislabelled?

    What it asks:
        Which labels does the classifier contradict (confident learning): images whose most likely class is not the
        label, and whose probability of another class is at least the average of that class? And how many labels would
        be contradicted if all labels were correct and the classifier calibrated?

    Why it matters:
        Popular test sets have about 3% wrong labels: correct predictions count as wrong, and rankings of classifiers
        can change. In training, wrong labels are learned.

    How to read it:
        The estimate is the share of contradicted labels beyond the expected share. The examples are ordered by the lead
        of the other class over the label. Each shows the more likely class and, below it, the label.

    Limits:
        Only the classifier is consulted. It cannot find what it has learned wrongly: if its training labels had the
        same errors, nothing exceeds the expected share, and the result is inconclusive rather than a pass. Images that
        show several objects are contradicted too.

    References:
        C. Northcutt, L. Jiang, I. Chuang, Confident learning: estimating uncertainty in dataset labels, JAIR 2021.

        C. Northcutt, A. Athalye, J. Mueller, Pervasive label errors in test sets destabilize machine learning
        benchmarks, NeurIPS 2021.
    """
    rows = recording.labelled
    targets, probabilities = recording.targets[rows], recording.probabilities[rows]
    names = recording.subject.classifier.class_names
    likelier = confident_labels(probabilities, targets)
    found = np.flatnonzero(likelier >= 0)
    lead = probabilities[found, likelier[found]] - probabilities[found, targets[found]]
    found = found[np.argsort(-lead, kind="stable")]
    part = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_IMAGES)).astype(np.int64))
    chance = contradicted_by_chance(probabilities[part], seed=seed) / len(part)
    seen = len(found) / len(rows)
    items = []
    for i in found[:EXAMPLES_SHOWN]:
        label, better = names[targets[i]], names[likelier[i]]
        shown = stored_picture(recording, int(rows[i]), f"An image labelled {label}, more likely {better}")
        confidence = percent(probabilities[i, likelier[i]])
        items.append(GridItem(picture=shown, caption=f"{better}, {confidence}", note=f"labelled {label}"))
    return DataLabels(
        images=len(rows),
        rows=rows[found],
        labels=tuple(names[k] for k in targets[found]),
        suggested=tuple(names[k] for k in likelier[found]),
        expected=float(chance.mean()),
        p=float((1 + (chance >= seen - 1e-12).sum()) / (1 + len(chance))),
        examples=ImageGrid(title="Probably mislabelled: the more likely class, and the label", items=items),
    )
