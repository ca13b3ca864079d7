"""data.labels: which images are probably mislabelled?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import MIN_IMAGES, Limits, estimate, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.statistics.label_errors import LabelErrors, label_errors

TOO_WEAK = 0.4
"""A classifier that expects more mistakes of its own than this is not used to judge labels."""
LIKE_MISTAKES = 0.1
"""Suspect labels are the classifier's own mistakes if they are the second most likely class this much beyond chance."""
LIMITS = Limits(
    "the share of wrong labels that the calibrated classifier's own mistakes do not explain",
    warn_at=0.005,
    fail_at=0.05,
    note=f"Also inconclusive if the calibrated classifier expects to be wrong on more than {percent(TOO_WEAK)} of "
    f"images, or if the suspect labels are its second most likely class too often (as its own mistakes are): the 95% "
    f"interval of how often, on a scale from 0% (chance) to 100% (always), lies above {percent(LIKE_MISTAKES)}. The "
    "thresholds are conventions: carefully made test sets have about 0.5% wrong labels.",
)
MAX_IMAGES = 5000
"""The share is estimated on no more images than this."""
SUSPECT = 0.5
"""A label is listed if it is more likely wrong than right."""
OVERCONFIDENT = 1.5
"""From this temperature on, overconfidence is named as the reason for a wide interval."""
EXAMPLES_SHOWN, MAX_ROWS = 24, 20


def verdict_of(found: LabelErrors) -> Verdict:
    """Judge the share of wrong labels."""
    if found.own_mistakes > TOO_WEAK or like_mistakes(found):
        return Verdict.INCONCLUSIVE
    return LIMITS.verdict(found.share, len(found.suspicion))


def like_mistakes(found: LabelErrors) -> bool:
    """Whether the suspect labels are the second most likely class too often to be wrong at random."""
    return found.second_share(suspects(found)).low > LIKE_MISTAKES


def suspects(found: LabelErrors) -> NDArray[np.int64]:
    """The labels that are more likely wrong than right, the most suspect first; none if the classifier is too weak."""
    listed = np.flatnonzero(found.suspicion > SUSPECT) if found.own_mistakes <= TOO_WEAK else np.zeros(0, np.int64)
    return listed[np.argsort(-found.suspicion[listed], kind="stable")]


@dataclass(frozen=True, kw_only=True)
class DataLabels:
    """How many labels are wrong, and the images whose label is more likely wrong than right, the most suspect first.

    Attributes:
        images: How many labelled images there are.
        estimated: How many of them the share of wrong labels is estimated on.
        found: The estimate.
        disagreements: The share of these images whose label is not the most likely class.
        rows: The suspect images.
        labels: Their labels.
        suggested: Their most likely classes.
        examples: The most suspect of them.
    """

    images: int
    estimated: int
    found: LabelErrors
    disagreements: Interval
    rows: NDArray[np.int64]
    labels: tuple[str, ...]
    suggested: tuple[str, ...]
    examples: ImageGrid

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        verdict = verdict_of(self.found)
        yield Finding(
            check="data.labels",
            verdict=verdict,
            severity=self.found.share.value,
            claim=self._claim(verdict),
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "Use held-out images: the classifier may have learned the wrong labels of its training images.",
                "Images that a shortcut makes the classifier confidently mistake count as wrong labels; look at them.",
            ],
        )

    def _claim(self, verdict: Verdict) -> str:
        disagreements, own = percent(self.disagreements.value), percent(self.found.own_mistakes)
        if self.found.own_mistakes > TOO_WEAK:
            return (
                f"The classifier is too weak to judge labels: it disagrees with {disagreements} of them, and after "
                f"calibration it expects to be wrong on {own}."
            )
        claim = (
            f"An estimated {percent_interval(self.found.share)} of the labels are wrong: the classifier disagrees with "
            f"{disagreements}, and its own mistakes explain {own}"
        )
        if self.labels:
            claim += (
                f"; {plural(len(self.labels), 'label is', 'labels are')} listed as suspect (the clearest case is "
                f"labelled {self.labels[0]} and predicted as {self.suggested[0]})"
            )
        return f"{claim}{self._why_open() if verdict == Verdict.INCONCLUSIVE else ''}."

    def _why_open(self) -> str:
        """Why there is no verdict."""
        if like_mistakes(self.found):
            return ", but these are its second most likely class too often, as its own mistakes are"
        if self.estimated >= MIN_IMAGES and self.found.temperature > OVERCONFIDENT:
            return "; the classifier is too overconfident to narrow this down with so few images"
        return "; there are too few images to narrow this down"

    def _evidence(self) -> list[Evidence]:
        pairs, counts = np.unique(np.array([self.labels, self.suggested]).T.reshape(-1, 2), axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:MAX_ROWS]
        rows: list[list[Cell]] = [[str(pairs[i, 0]), str(pairs[i, 1]), int(counts[i])] for i in order]
        columns = [Column(name="labelled"), Column(name="more likely class"), Column(name="images", kind="number")]
        shown: list[Evidence] = [
            Table(title="Suspect labels and the more likely classes", columns=columns, rows=rows),
            self.examples,
        ]
        return [
            LIMITS.estimate("Wrong labels", self.found.share, self.estimated),
            estimate("Labels that the classifier disagrees with", self.disagreements, self.estimated),
            _calibration(self.found),
            *(shown if rows else []),
        ]


def _calibration(found: LabelErrors) -> Table:
    """How the classifier was calibrated, and what it then expects."""
    return Table(
        title="The classifier after calibration",
        columns=[Column(name="quantity"), Column(name="value", kind="number")],
        rows=[
            ["temperature (above 1: overconfident before)", round(found.temperature, 2)],
            ["its own mistakes, in percent of images", round(100 * found.own_mistakes, 1)],
        ],
    )


@check("data.labels", needs=[LABELS])
def labels(recording: Recording, engine: Engine, *, seed: int) -> DataLabels:
    """Which images are probably mislabelled?

    What it asks:
        How many labels are wrong, beyond the classifier's own mistakes? The logits are divided by a temperature, so
        that the confidence matches the accuracy, and the temperature is estimated together with the share of labels
        that were replaced by another class.

    Why it matters:
        Popular test sets have about 3% wrong labels: correct predictions count as wrong, and rankings of classifiers
        can change. In training, wrong labels are learned.

    How to read it:
        The estimate is the share of wrong labels. A classifier's own mistakes are mostly between classes that are
        about equally likely once it is calibrated; wrong labels are also contradicted with confidence. The examples
        are the labels that are more likely wrong than right, the most suspect first. Each shows the more likely class
        and, below it, the label. Temperature and suspicion of an image come from other images (five folds).

    Limits:
        Only the classifier is used. It cannot find what it has learned wrongly: if its training labels had the same
        errors, the check passes. Wrong labels that always name the second most likely class look like mistakes of the
        classifier, and are missed. Images that show several objects are suspect too.

    References:
        C. Northcutt, A. Athalye, J. Mueller, Pervasive label errors in test sets destabilize machine learning
        benchmarks, NeurIPS 2021.

        C. Guo et al., On calibration of modern neural networks, ICML 2017.

        G. Patrini et al., Making deep neural networks robust to label noise: a loss correction approach, CVPR 2017.
    """
    labelled = recording.labelled
    rows = labelled[evenly_spaced(len(labelled), MAX_IMAGES)]
    targets, likeliest = recording.targets[rows], recording.predicted[rows]
    found = label_errors(recording.logits[rows], targets)
    names = recording.subject.classifier.class_names
    suspect = suspects(found)
    items = []
    for i in suspect[:EXAMPLES_SHOWN]:
        label, better = names[targets[i]], names[likeliest[i]]
        shown = stored_picture(recording, int(rows[i]), f"An image labelled {label}, more likely {better}")
        caption = f"{better}; {percent(found.suspicion[i])} that the label is wrong"
        items.append(GridItem(picture=shown, caption=caption, note=f"labelled {label}"))
    return DataLabels(
        images=len(labelled),
        estimated=len(rows),
        found=found,
        disagreements=wilson(int((likeliest != targets).sum()), len(rows)),
        rows=rows[suspect],
        labels=tuple(names[k] for k in targets[suspect]),
        suggested=tuple(names[k] for k in likeliest[suspect]),
        examples=ImageGrid(title="Probably mislabelled: the more likely class, and the label", items=items),
    )
