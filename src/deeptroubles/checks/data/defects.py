"""data.defects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.shared.stored_picture import stored_picture
from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.properties.defects import DEFECTS, PictureFacts, find_defects, picture_facts
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.02, 0.10
MOST_IMAGES = 5000
SHOWN_EACH = 6
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class ClassDefects:
    """How many images of one class have a defect; `bounds` is an interval that holds for all classes together."""

    name: str
    images: int
    defective: int
    interval: Interval
    bounds: Interval


@dataclass(frozen=True, kw_only=True)
class DataDefects:
    """Which images are defective as pictures.

    Attributes:
        images: How many were looked at, those that cannot be read among them.
        defective: How many have a defect.
        kinds: How many have each.
        classes: Per class with labelled images, the worst first.
        pictures: Some of each kind.
        left_out: How many images were not looked at.
    """

    images: int
    defective: int
    kinds: dict[str, int]
    classes: tuple[ClassDefects, ...]
    pictures: ImageGrid
    left_out: int

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        share = wilson(self.defective, self.images)
        verdict = judge(share, self.images, warn_at=WARN_AT, fail_at=FAIL_AT)
        failing = [c for c in self.classes if c.images >= MIN_IMAGES and c.bounds.low > FAIL_AT]
        most = [f"{count} {kind}" for kind, count in sorted(self.kinds.items(), key=lambda k: -k[1]) if count]
        claim = f"{self.defective} of {self.images} images, {percent_interval(share)}, have a defect"
        claim += f": {', '.join(most)}." if most else "."
        if failing:
            worst = failing[0]
            claim += f" Of class {worst.name}, {worst.defective} of {worst.images} have."
        yield Finding(
            check="data.defects",
            verdict=Verdict.FAIL if failing else verdict,
            severity=max([share.value, *(c.interval.value for c in failing)]),
            claim=claim,
            criterion=f"Fails when more than {percent(FAIL_AT)} of the images, or of those of a class with {MIN_IMAGES} "
            f"images or more, have a defect, with 95 % confidence (for all classes together); warns above "
            f"{percent(WARN_AT)} of all images, passes when more than {percent(FAIL_AT)} of them can be ruled out; "
            f"inconclusive otherwise, and below {MIN_IMAGES} images. Thresholds, and what is a defect, are conventions.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "A defect may belong to the subject: stars are small lights in the dark, fog has no contrast.",
                *([f"{self.left_out} more images were not looked at."] if self.left_out else []),
            ],
        )

    def _evidence(self) -> list[Evidence]:
        share = wilson(self.defective, self.images)
        numbers = [
            Column(name="images", kind="number"),
            Column(name="share", kind="share"),
            Column(name="95 % interval", kind="interval"),
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
            Estimate(
                label="Images with a defect",
                value=share.value,
                low=share.low,
                high=share.high,
                n=self.images,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            Table(
                title="What is wrong with them (an image can have several defects)",
                columns=[Column(name="defect"), *numbers],
                rows=kinds,
            ),
            *(
                [Table(title="Defective images by class, worst first", columns=by_class, rows=classes)]
                if classes
                else []
            ),
            *([self.pictures] if self.pictures.items else []),
        ]


@check("data.defects")
def defects(recording: Recording, engine: Engine, *, seed: int) -> DataDefects:
    """Which images are blurred, too dark, too bright, blank, oddly sized or unreadable?

    What it asks:
        How many of up to 5,000 images, as they are stored, cannot be read, are nearly of one colour, too dark, too
        bright, of low contrast or blurred, are of another size or shape than most, or grey among coloured ones; and
        whether one class has more of them.

    Why it matters:
        What a person could not tell from the picture, a network can only guess, and what a defective picture adds to
        a test is noise. Where one class has more defects than others, the defect gives it away.

    How to read it:
        Nearly blank and of low contrast: no colour spans 3 %, or 15 %, of its range (1st to 99th percentile). Too
        dark or bright: 99 % of the pixels are in the lowest or the highest quarter. Blurred: blurring it once more
        changes little (Crete's measure above 0.65), and it has no steep edges next to its own contrast, with no side
        longer than 256 pixels. Odd size: ten times more or fewer pixels than the median. Odd shape: a side three times
        the other, twice as far from square as the median. Grey counts where fewer than a tenth of the images are.

    Limits:
        Blur is not looked for in pictures of less than 32 pixels a side. Smooth subjects (a colour wheel, fog) may be
        called blurred, and a sharp object before a blurred ground is not. Motion blur along one direction, noise and
        compression are not measured. What the classifier's crop leaves out is measured as well.

    References:
        F. Crete et al., The blur effect: perception and estimation with a new no-reference perceptual blur metric,
        SPIE 2007.

        CleanVision, 2022: the kinds of defects.
    """
    rows = recording.sample(MOST_IMAGES)
    seen = engine.map(_facts, recording.subject, rows, task="Looking for defects", chunk=64)
    found = find_defects(PictureFacts(**seen))
    defective = np.asarray(np.stack(list(found.values())).any(0))
    unreadable = len(recording.unreadable)
    kinds = {UNREADABLE: unreadable} | {kind: int(has.sum()) for kind, has in found.items()}
    return DataDefects(
        images=len(rows) + unreadable,
        defective=int(defective.sum()) + unreadable,
        kinds=kinds,
        classes=_by_class(recording, rows, defective),
        pictures=_pictures(recording, rows, found),
        left_out=len(recording.logits) - len(rows),
    )


def _facts(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
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


def _pictures(recording: Recording, rows: NDArray[np.int64], found: dict[str, NDArray[np.bool_]]) -> ImageGrid:
    items, shown = [], set()
    for kind in DEFECTS:
        for row in [row for row in rows[found[kind]].tolist() if row not in shown][:SHOWN_EACH]:
            path = str(recording.subject.images.table["path"].iloc[row])
            shown.add(row)
            items.append(GridItem(picture=stored_picture(recording, row, f"{path}: {kind}"), caption=kind, note=path))
    return ImageGrid(title="Some images with each defect", items=items)
