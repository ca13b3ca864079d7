"""data.labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table
from deeptroubles.recording import Recording
from deeptroubles.statistics.confident_learning import confident_labels, contradicted_by_chance
from deeptroubles.statistics.intervals import Interval, wilson

WARN_AT, FAIL_AT = 0.02, 0.05
ALPHA = 0.05
MOST_IMAGES = 5000
"""The mistakes that the classifier expects are counted on no more images than this."""
SHOWN, ROWS = 24, 20


@dataclass(frozen=True, kw_only=True)
class DataLabels:
    """Labels that are likely wrong, the likeliest first.

    Attributes:
        images: How many labelled images there are.
        rows: Those whose label is contradicted.
        given: Their labels.
        suggested: What they more likely are.
        expected: The share of images that the classifier expects to be contradicted where every label is drawn from
            its own probabilities.
        p: How often as many are contradicted then.
        pictures: The likeliest of them.
    """

    images: int
    rows: NDArray[np.int64]
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    expected: float
    p: float
    pictures: ImageGrid

    @property
    def beyond(self) -> Interval:
        """The share of contradicted labels beyond what the classifier expects; its upper end leaves nothing off."""
        found = wilson(len(self.rows), self.images)
        value = max(0.0, found.value - self.expected)
        low = max(0.0, found.low - self.expected) if self.p < ALPHA else 0.0
        return Interval(value, min(low, value), found.high)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        beyond, found = self.beyond, wilson(len(self.rows), self.images)
        likeliest = (
            f" The likeliest is labelled {self.given[0]} and looks like {self.suggested[0]}." if self.given else ""
        )
        yield Finding(
            check="data.labels",
            verdict=judge(beyond, self.images, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=beyond.value,
            claim=f"The classifier contradicts the label of {len(self.rows)} of {self.images} images, "
            f"{percent_interval(found)}, and expects to do so on {percent(self.expected)} where it is as right as it "
            f"is sure: {percent_interval(beyond)} of the labels are likely wrong.{likeliest}",
            criterion=f"Fails when more than {percent(FAIL_AT)} of the labels are contradicted beyond what the "
            f"classifier's own probabilities expect, with 95 % confidence (and labels drawn from them bring as many in "
            f"less than {percent(ALPHA)}), warns above {percent(WARN_AT)}, passes when more than {percent(FAIL_AT)} "
            "can be ruled out even if the classifier's own mistakes are counted; inconclusive otherwise, and below "
            f"{MIN_IMAGES} images. The thresholds are conventions.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "Images must be held out: of those that it was trained on, it has learned the wrong labels, too.",
                "It takes its own mistakes for wrong labels where it is surer than it should be; look at the pictures.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        value, low, high = self.beyond
        pairs, counts = np.unique(np.array([self.given, self.suggested]).T.reshape(-1, 2), axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:ROWS]
        rows: list[list[Cell]] = [[str(pairs[i, 0]), str(pairs[i, 1]), int(counts[i])] for i in order]
        columns = [Column(name="labelled"), Column(name="more likely"), Column(name="images", kind="number")]
        shown: list[Evidence] = [
            Table(title="Which labels are contradicted by what", columns=columns, rows=rows),
            self.pictures,
        ]
        return [
            Estimate(
                label="Labels contradicted beyond what the classifier expects",
                value=value,
                low=low,
                high=high,
                n=self.images,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *(shown if rows else []),
        ]


@check("data.labels", needs=[LABELS])
def labels(recording: Recording, engine: Engine, *, seed: int) -> DataLabels:
    """Which images are likely labelled wrong?

    What it asks:
        Which labels the classifier contradicts: an image counts whose probability of another class is as high as images
        of that class have on average, and whose likeliest class is not its label (confident learning). And how many
        labels would be contradicted if the labels were right and the classifier as often right as it is sure.

    Why it matters:
        Test sets that everybody uses have some 3 % of wrong labels; a classifier that is right is counted as wrong, and
        the ranking of classifiers can turn. In training, wrong labels are learned.

    How to read it:
        The share is of images that are contradicted beyond what is expected. The pictures come in the order of how
        far the other class is ahead of the label. Each has its label and, above it, what it more likely is.

    Limits:
        The classifier is the only witness. It knows nothing of what it has learned wrongly, and expects wrong labels
        that its training had as well: then nothing is found beyond, and the result is inconclusive rather than
        passed. Images that show several things are contradicted, too.

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
    part = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_IMAGES)).astype(np.int64))
    chance = contradicted_by_chance(probabilities[part], seed=seed) / len(part)
    seen = len(found) / len(rows)
    items = []
    for i in found[:SHOWN]:
        label, better = names[targets[i]], names[likelier[i]]
        shown = stored_picture(recording, int(rows[i]), f"An image labelled {label}, more likely {better}")
        sure = percent(probabilities[i, likelier[i]])
        items.append(GridItem(picture=shown, caption=f"{better}, {sure}", note=f"labelled {label}"))
    return DataLabels(
        images=len(rows),
        rows=rows[found],
        given=tuple(names[k] for k in targets[found]),
        suggested=tuple(names[k] for k in likelier[found]),
        expected=float(chance.mean()),
        p=float((1 + (chance >= seen - 1e-12).sum()) / (1 + len(chance))),
        pictures=ImageGrid(title="The likeliest wrong labels: what it more likely is, and its label", items=items),
    )
