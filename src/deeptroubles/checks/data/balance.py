"""data.balance: are the classes balanced, overall and within each split?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.splits import splits_of
from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval, plural
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table, Verdict
from deeptroubles.recording import Recording
from deeptroubles.statistics.class_shares import Drift, drift, effective_number, largest_to_smallest
from deeptroubles.statistics.intervals import Interval, wilson

RATIO = Limits(
    "the size of the largest class divided by that of the smallest (for all pairs of classes together)",
    warn_at=3.0,
    fail_at=10.0,
    note="",
    show="{:g}".format,
)
DRIFT = Limits(
    "the share of a split's labels that differ from the other splits beyond chance",
    warn_at=0.10,
    fail_at=0.25,
    note="Also warns if a class of the model has no image although classes of equal size would (95%). The thresholds "
    "are conventions.",
)
ALPHA = 0.05
MAX_ROWS = 60
"""The table shows no more classes than this: the largest and the smallest."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The distribution of the images over the classes of the model, and over splits.

    Attributes:
        names: The classes of the model.
        counts: How many images each has.
        ratio: The largest class's size over the smallest's, of classes that have images; None for one class.
        table: How many images of each class are in each split, S x K.
        splits: The names of the splits.
        drift: How far splits differ; None where there are fewer than two.
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
    def absence_is_significant(self) -> bool:
        """Whether classes of equal size would rarely leave any of them without an image by chance."""
        kinds = len(self.names)
        return bool(self.absent) and kinds * (1 - 1 / kinds) ** self.images < ALPHA

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        verdicts = [Verdict.INCONCLUSIVE if self.ratio is None else RATIO.verdict(self.ratio, self.images)]
        if self.drift:
            verdicts.append(DRIFT.verdict(self.drift.distance, self.images))
        if self.absence_is_significant:
            verdicts.append(Verdict.WARN)
        yield Finding(
            check="data.balance",
            verdict=min(verdicts, key=list(Verdict).index),
            severity=max(
                1 - 1 / self.ratio.value if self.ratio else 0.0, self.drift.distance.value if self.drift else 0.0
            ),
            claim=self._claim(),
            criterion=f"The worse of two verdicts. Classes: {RATIO.criterion} Splits: {DRIFT.criterion}",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "Only counts are compared: not the diversity of images, nor how common the classes are in use.",
                *([self.note] if self.note else []),
            ],
        )

    def _claim(self) -> str:
        present = self.counts > 0
        if self.ratio is None:
            only = self.names[int(self.counts.argmax())]
            return f"All {plural(self.images, 'labelled image')} belong to 1 class ({only}) of {len(self.names)}."
        sizes = np.where(present, self.counts, self.images + 1)
        largest, smallest = int(self.counts.argmax()), len(sizes) - 1 - int(sizes[::-1].argmin())
        claim = (
            f"The largest class ({self.names[largest]}, {plural(int(self.counts[largest]), 'image')}) is "
            f"{_times(self.ratio)} times as large as the smallest ({self.names[smallest]}, {self.counts[smallest]}); "
            f"the effective number of classes is {effective_number(self.counts):.1f} of {present.sum()}"
        )
        if self.absent:
            claim += f"; {len(self.absent)} of the model's {len(self.names)} classes have no image"
        if self.drift and self.drift.p < ALPHA:
            claim += (
                f"; {percent_interval(self.drift.distance)} of the labels of split {self.splits[self.drift.split]!r} "
                f"differ from the rest beyond chance (p {_p(self.drift.p)})"
            )
        elif self.drift:
            claim += f"; label distributions do not differ significantly between splits (p {_p(self.drift.p)})"
        return f"{claim}."

    def _evidence(self) -> list[Evidence]:
        evidence: list[Evidence] = []
        if self.ratio:
            label = "Size of the largest class over that of the smallest with images"
            evidence.append(RATIO.estimate(label, self.ratio, self.images, "number"))
        if self.drift:
            label = f"Labels of split {self.splits[self.drift.split]!r} that differ from the rest beyond chance"
            evidence.append(DRIFT.estimate(label, self.drift.distance, self.images))
        order = np.argsort(-self.counts, kind="stable")
        if len(order) > MAX_ROWS:
            order = np.concatenate([order[: MAX_ROWS // 2], order[-MAX_ROWS // 2 :]])
        columns = [
            Column(name="class"),
            Column(name="images", kind="number"),
            Column(name="share", kind="share"),
            Column(name="95% CI", kind="interval"),
        ]
        columns += [Column(name=f"in {name}", kind="share") for name in self.splits]
        totals = np.maximum(self.table.sum(1), 1)
        rows: list[list[Cell]] = []
        for k in order:
            share = wilson(int(self.counts[k]), self.images)
            inside: list[Cell] = [float(self.table[s, k] / totals[s]) for s in range(len(self.splits))]
            rows.append([self.names[k], int(self.counts[k]), share.value, [share.low, share.high], *inside])
        cut = " (the largest and the smallest)" if len(self.names) > MAX_ROWS else ""
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
    """Are the classes balanced, overall and within each split?

    What it asks:
        How many images each class of the model has; the effective number of classes (e to the entropy of their shares);
        how much larger the largest class is than the smallest; which classes have no image; and, where a column `split`
        names parts such as train and test, whether the classes have the same shares in each.

    Why it matters:
        A class with few images is learned badly and tested imprecisely, and an overall accuracy hides it. A network
        that was trained on other class shares predicts some classes too often, and its test accuracy does not carry
        over.

    How to read it:
        The ratio's interval holds for all pairs of classes together, so equal classes are rarely called unequal. The
        difference of a split is the share of its labels that would have to change for it to match the rest, minus the
        mean difference of random splits. p is how often random splits differ as much.

    Limits:
        Imbalance can be correct: some classes are rare. Near-duplicates count as separate images.

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
        note = f"Splits were not compared: fewer than two have {MIN_IMAGES} labelled images."
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
    return f"{value} (95% CI {low} to {high})"


def _p(p: float) -> str:
    return "below 0.01" if p < 0.01 else f"{p:.2f}"
