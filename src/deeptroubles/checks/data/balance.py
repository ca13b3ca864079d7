"""data.balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.splits import splits_of
from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, Table, Verdict
from deeptroubles.recording import Recording
from deeptroubles.statistics.class_shares import Drift, drift, effective_number, largest_to_smallest
from deeptroubles.statistics.intervals import Interval, wilson

WARN_RATIO, FAIL_RATIO = 3.0, 10.0
WARN_DRIFT, FAIL_DRIFT = 0.10, 0.25
ALPHA = 0.05
ROWS = 60
"""The table shows no more classes than this: the largest and the smallest."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """How the images spread over the classes of the model, and over splits.

    Attributes:
        names: The classes of the model.
        counts: How many images each has.
        ratio: The largest class's size over the smallest's, of classes that have images; None for one class.
        table: How many images of each class are in each split, S x K.
        splits: The names of the splits.
        drift: How far splits differ; None where there are not two.
        note: Why splits were not compared, '' where they were.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    ratio: Interval | None
    table: NDArray[np.int64]
    splits: tuple[str, ...]
    drift: Drift | None
    note: str

    @property
    def images(self) -> int:
        """How many images have a label."""
        return int(self.counts.sum())

    @property
    def absent(self) -> list[str]:
        """The classes of the model without an image."""
        return [name for name, count in zip(self.names, self.counts, strict=True) if not count]

    @property
    def absence_tells(self) -> bool:
        """Whether classes of equal size would hardly leave any of them out by chance."""
        kinds = len(self.names)
        return bool(self.absent) and kinds * (1 - 1 / kinds) ** self.images < ALPHA

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        verdicts = [
            Verdict.INCONCLUSIVE
            if self.ratio is None
            else judge(self.ratio, self.images, warn_at=WARN_RATIO, fail_at=FAIL_RATIO)
        ]
        if self.drift:
            verdicts.append(judge(self.drift.distance, self.images, warn_at=WARN_DRIFT, fail_at=FAIL_DRIFT))
        if self.absence_tells:
            verdicts.append(Verdict.WARN)
        yield Finding(
            check="data.balance",
            verdict=min(verdicts, key=list(Verdict).index),
            severity=max(
                1 - 1 / self.ratio.value if self.ratio else 0.0, self.drift.distance.value if self.drift else 0.0
            ),
            claim=self._claim(),
            criterion=f"Fails when the largest class is more than {FAIL_RATIO:g} times as large as the smallest with "
            f"95 % confidence (for all pairs of classes together), or when a split differs from the others in more "
            f"than {percent(FAIL_DRIFT)} of its labels beyond chance; warns at {WARN_RATIO:g} times, at "
            f"{percent(WARN_DRIFT)}, and when a class of the model has no image although equal classes would "
            f"(95 %); passes when more than the fail marks can be ruled out; inconclusive otherwise, and below "
            f"{MIN_IMAGES} images. The thresholds are conventions.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "It counts images, not how varied they are, and knows nothing of how common the classes are in use.",
                *([self.note] if self.note else []),
            ],
        )

    def _claim(self) -> str:
        present = self.counts > 0
        if self.ratio is None:
            only = self.names[int(self.counts.argmax())]
            return f"All {self.images} labelled images are of 1 class ({only}) of {len(self.names)}."
        sizes = np.where(present, self.counts, self.images + 1)
        largest, smallest = int(self.counts.argmax()), len(sizes) - 1 - int(sizes[::-1].argmin())
        claim = (
            f"{self.images} images of {present.sum()} classes are as varied as "
            f"{effective_number(self.counts):.1f} classes of one size; the largest ({self.names[largest]}, "
            f"{self.counts[largest]}) is {_times(self.ratio)} times the smallest ({self.names[smallest]}, "
            f"{self.counts[smallest]})."
        )
        if self.absent:
            claim += f" {len(self.absent)} of the model's {len(self.names)} classes have no image."
        if self.drift and self.drift.p < ALPHA:
            claim += (
                f" The split {self.splits[self.drift.split]!r} has other labels than the rest: "
                f"{percent_interval(self.drift.distance)} of them beyond chance (p {_p(self.drift.p)})."
            )
        elif self.drift:
            claim += f" Splits do not certainly differ in their labels (p {_p(self.drift.p)})."
        return claim

    def _evidence(self) -> list[Evidence]:
        evidence: list[Evidence] = []
        if self.ratio:
            evidence.append(
                Estimate(
                    label="Largest class over smallest, of classes with images",
                    value=self.ratio.value,
                    low=self.ratio.low,
                    high=self.ratio.high,
                    n=self.images,
                    unit="number",
                    warn_at=WARN_RATIO,
                    fail_at=FAIL_RATIO,
                )
            )
        if self.drift:
            value, low, high = self.drift.distance
            evidence.append(
                Estimate(
                    label=f"Labels of the split {self.splits[self.drift.split]!r} that differ from the rest, "
                    "beyond chance",
                    value=value,
                    low=low,
                    high=high,
                    n=self.images,
                    warn_at=WARN_DRIFT,
                    fail_at=FAIL_DRIFT,
                )
            )
        order = np.argsort(-self.counts, kind="stable")
        if len(order) > ROWS:
            order = np.concatenate([order[: ROWS // 2], order[-ROWS // 2 :]])
        columns = [
            Column(name="class"),
            Column(name="images", kind="number"),
            Column(name="share", kind="share"),
            Column(name="95 % interval", kind="interval"),
        ]
        columns += [Column(name=f"in {name}", kind="share") for name in self.splits]
        totals = np.maximum(self.table.sum(1), 1)
        rows: list[list[Cell]] = []
        for k in order:
            share = wilson(int(self.counts[k]), self.images)
            inside: list[Cell] = [float(self.table[s, k] / totals[s]) for s in range(len(self.splits))]
            rows.append([self.names[k], int(self.counts[k]), share.value, [share.low, share.high], *inside])
        cut = " (the largest and the smallest)" if len(self.names) > ROWS else ""
        evidence.append(
            Table(
                title=f"Images of each class{cut}, and its share of each split"
                if self.splits
                else f"Images of each class{cut}",
                columns=columns,
                rows=rows,
            )
        )
        return evidence


@check("data.balance", needs=[LABELS])
def balance(recording: Recording, engine: Engine, *, seed: int) -> Balance:
    """How evenly do the images spread over the classes, and alike in every split?

    What it asks:
        How many images each class of the model has; how many classes of one size would be as varied (e to the entropy
        of their shares); how much larger the largest class is than the smallest; which classes have no image; and,
        where a column `split` names parts such as train and test, whether the classes have the same shares in each.

    Why it matters:
        A class with few images is learned badly and tested on chance, and an overall accuracy hides it. A network that
        was trained on other shares than it is tested on gives some classes too often, and its test says little about
        use.

    How to read it:
        The ratio's interval holds for all pairs of classes together, so equal classes are rarely called unequal. What
        splits differ in is a part of their labels: so many would have to change for the split to be like the rest, less
        what splits drawn at random differ in. p says how often random splits differ as much.

    Limits:
        Uneven classes may be right: some things are rare. Images that are much alike count as many.

    References:
        M. Hill, Diversity and evenness: a unifying notation and its consequences, Ecology 1973.

        M. Buda et al., A systematic study of the class imbalance problem in convolutional neural networks, Neural
        Networks 2018.
    """
    names = recording.subject.classifier.class_names
    splits, rows = splits_of(recording), recording.labelled
    targets, codes = recording.targets[rows], splits.codes[rows]
    counts = np.bincount(targets, minlength=len(names))
    table = np.stack(
        [np.bincount(targets[codes == s], minlength=len(names)) for s in range(len(splits.names))]
        or [np.zeros(len(names), dtype=np.int64)]
    )
    filled = [s for s in range(len(splits.names)) if table[s].sum() >= MIN_IMAGES]
    note = splits.note
    if splits.names and len(filled) < 2:
        note = f"Fewer than two splits have {MIN_IMAGES} labelled images, so they were not compared."
    compared = len(filled) > 1
    return Balance(
        names=names,
        counts=counts,
        table=table[filled],
        ratio=largest_to_smallest(counts[counts > 0]) if (counts > 0).sum() > 1 else None,
        splits=tuple(splits.names[s] for s in filled),
        drift=drift(table[filled], seed=seed) if compared else None,
        note=note,
    )


def _times(ratio: Interval) -> str:
    value, low, high = (f"{x:.1f}" if x < 10 else f"{x:.0f}" for x in ratio)
    return f"{value} ({low} to {high})"


def _p(p: float) -> str:
    return "below 0.01" if p < 0.01 else f"{p:.2f}"
