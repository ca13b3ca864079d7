"""data.defects: which images are defective?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.properties.defects import DEFECTS, PictureFacts, find_defects, picture_facts
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

FAIL_AT = 0.10
LIMITS = Limits(
    "the share of defective images",
    warn_at=0.02,
    fail_at=FAIL_AT,
    note=f"Also fails if that of a class with {MIN_IMAGES} images or more lies above {percent(FAIL_AT)} (for all "
    "classes together). The thresholds, and what counts as a defect, are conventions.",
)
MAX_IMAGES = 5000
SHOWN_EACH = 6
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class ClassDefects:
    """The defective images of one class; `bounds` is an interval that holds for all classes together."""

    name: str
    images: int
    defective: int
    interval: Interval
    bounds: Interval


@dataclass(frozen=True, kw_only=True)
class DataDefects:
    """Which images are defective.

    Attributes:
        images: How many were tested, including unreadable ones.
        defective: How many have a defect.
        kinds: How many have each kind of defect.
        classes: One entry per class with labelled images, the worst first.
        examples: Some of each kind.
        left_out: How many images were not tested.
    """

    images: int
    defective: int
    kinds: dict[str, int]
    classes: tuple[ClassDefects, ...]
    examples: ImageGrid
    left_out: int

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        share = wilson(self.defective, self.images)
        verdict = LIMITS.verdict(share, self.images)
        failing = [c for c in self.classes if c.images >= MIN_IMAGES and c.bounds.low > FAIL_AT]
        by_kind = [f"{count} {kind}" for kind, count in sorted(self.kinds.items(), key=lambda k: -k[1]) if count]
        claim = f"{percent_interval(share)} of {plural(self.images, 'image')} are defective"
        claim += f" ({', '.join(by_kind)})" if by_kind else ""
        if failing:
            worst = failing[0]
            claim += f"; in class {worst.name}, {worst.defective} of {plural(worst.images, 'image')} are"
        yield Finding(
            check="data.defects",
            verdict=Verdict.FAIL if failing else verdict,
            severity=max([share.value, *(c.interval.value for c in failing)]),
            claim=f"{claim}.",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "A defect may be part of the subject: a night sky is dark, fog has no contrast.",
                *([f"{plural(self.left_out, 'image')} not tested."] if self.left_out else []),
            ],
        )

    def _evidence(self) -> list[Evidence]:
        numbers = [
            Column(name="images", kind="number"),
            Column(name="share", kind="share"),
            Column(name="95% CI", kind="interval"),
        ]
        kinds: list[list[Cell]] = []
        for kind, count in sorted(self.kinds.items(), key=lambda k: -k[1]):
            found = wilson(count, self.images)
            kinds.append([kind, count, found.value, [found.low, found.high]])
        classes: list[list[Cell]] = [
            [c.name, c.images, c.defective, c.interval.value, [c.interval.low, c.interval.high]] for c in self.classes
        ]
        by_class = [Column(name="class"), numbers[0], Column(name="defective", kind="number"), *numbers[1:]]
        return [
            LIMITS.estimate("Defective images", wilson(self.defective, self.images), self.images),
            Table(
                title="Kinds of defects (an image can have several)",
                columns=[Column(name="defect"), *numbers],
                rows=kinds,
            ),
            *(
                [Table(title="Defective images by class, worst first", columns=by_class, rows=classes)]
                if classes
                else []
            ),
            *([self.examples] if self.examples.items else []),
        ]


@check("data.defects")
def defects(recording: Recording, engine: Engine, *, seed: int) -> DataDefects:
    """Which images are blurred, too dark, too bright, blank, of unusual size or unreadable?

    What it asks:
        How many of up to 5,000 images, as they are stored, are unreadable, nearly blank, too dark, too bright, of low
        contrast, blurred, of unusual size or shape, or grayscale among color images; and whether one class has more.

    Why it matters:
        On an image that a person could not classify, a network can only guess, so defective images add noise to a test.
        Where one class has more defects than others, the defect reveals the class.

    How to read it:
        Nearly blank and low contrast: no channel spans 3%, or 15%, of its range (1st to 99th percentile). Too dark or
        bright: 99% of the pixels are in the lowest or the highest quarter. Blurred: blurring again changes little
        (Crete's measure above 0.65), and there are no steep edges relative to its contrast, at a longest side of 256
        pixels. Odd size: ten times more or fewer pixels than the median. Odd shape: one side three times the other,
        twice as far from square as the median. Grayscale counts where fewer than a tenth of the images are.

    Limits:
        Blur is not measured in images of less than 32 pixels a side. Smooth subjects (a color wheel, fog) may be called
        blurred; a sharp object in front of a blurred background is not. Directional motion blur, noise and compression
        are not measured. Whole images are tested, including what the classifier's crop leaves out.

    References:
        F. Crete et al., The blur effect: perception and estimation with a new no-reference perceptual blur metric,
        SPIE 2007.

        CleanVision, 2022: the kinds of defects.
    """
    rows = recording.sample(MAX_IMAGES)
    seen = engine.map(_facts, recording.subject, rows, task="Testing for defects", chunk=64)
    found = find_defects(PictureFacts(**seen))
    defective = np.asarray(np.stack(list(found.values())).any(0))
    unreadable = len(recording.unreadable)
    kinds = {UNREADABLE: unreadable} | {kind: int(has.sum()) for kind, has in found.items()}
    return DataDefects(
        images=len(rows) + unreadable,
        defective=int(defective.sum()) + unreadable,
        kinds=kinds,
        classes=_by_class(recording, rows, defective),
        examples=_examples(recording, rows, found),
        left_out=len(recording.logits) - len(rows),
    )


def _facts(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    facts = [picture_facts(subject.images[i]) for i in indices]
    return {name: np.array([each[name] for each in facts]) for name in facts[0]}


def _by_class(recording: Recording, rows: NDArray[np.int64], defective: NDArray[np.bool_]) -> tuple[ClassDefects, ...]:
    targets, names = recording.targets[rows], recording.subject.classifier.class_names
    present = np.unique(targets[targets >= 0])
    level = 1 - 0.05 / max(1, len(present))
    classes = []
    for k in present:
        having, count = int(defective[targets == k].sum()), int((targets == k).sum())
        classes.append(
            ClassDefects(
                name=names[k],
                images=count,
                defective=having,
                interval=wilson(having, count),
                bounds=wilson(having, count, level),
            )
        )
    return tuple(sorted(classes, key=lambda c: (-c.bounds.low, -c.interval.value, c.name)))


def _examples(recording: Recording, rows: NDArray[np.int64], found: dict[str, NDArray[np.bool_]]) -> ImageGrid:
    items, shown = [], set()
    for kind in DEFECTS:
        for row in [row for row in rows[found[kind]].tolist() if row not in shown][:SHOWN_EACH]:
            path = str(recording.subject.images.table["path"].iloc[row])
            shown.add(row)
            items.append(GridItem(picture=stored_picture(recording, row, f"{path}: {kind}"), caption=kind, note=path))
    return ImageGrid(title="Some images with each defect", items=items)
