"""data.correlation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table
from deeptroubles.images.decoding import file_facts
from deeptroubles.methods.properties.cells import Cells, column_cells, point_cells
from deeptroubles.methods.properties.image_properties import image_properties
from deeptroubles.methods.properties.label_correlation import Correlation, label_correlations
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.25, 0.50
ALPHA = 0.05
MOST_IMAGES = 2000
ROWS = 30
"""A table has no more rows than this."""
SHOWN_CLASSES, SHOWN_EACH = 8, 3
FILE = ("file format", "file size")


@dataclass(frozen=True, kw_only=True)
class DataCorrelation:
    """How well each property of the images tells their label, the best first.

    Attributes:
        images: How many images were looked at, of classes with enough of them.
        classes: The names of these classes.
        left_out: How many classes have too few images.
        properties: Per property.
        columns: Which of them are columns that came with the images.
        examples: Images of each class, with the cell of the best property that each is in.
    """

    images: int
    classes: tuple[str, ...]
    left_out: int
    properties: tuple[Correlation, ...]
    columns: frozenset[str]
    examples: ImageGrid | None

    @property
    def strongest(self) -> Interval:
        """The highest strength of all properties that shuffled labels do not reach; the intervals hold together."""
        if not self.properties:
            return Interval(float("nan"), 0.0, 1.0)
        ends = [p.strength if p.p < ALPHA else p.strength._replace(low=0.0) for p in self.properties]
        return Interval(*(max(column) for column in zip(*ends, strict=True)))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        strongest = self.strongest
        yield Finding(
            check="data.correlation",
            verdict=judge(strongest, self.images, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=strongest.value if self.properties else 0.0,
            claim=self._claim(),
            criterion="Fails when one property of the images tells the label, or one class from all others, by more "
            f"than {percent(FAIL_AT)} of the way from guessing to always right, with 95 % confidence for all of them "
            f"together (and shuffled labels do so in less than {percent(ALPHA)}, corrected by Holm), warns above "
            f"{percent(WARN_AT)}, passes when more than {percent(FAIL_AT)} can be ruled out; inconclusive otherwise, "
            f"and where fewer than two classes have {MIN_IMAGES} images. Classes count alike, however many images they "
            "have. The thresholds are conventions.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "It is about the images; whether an answer rests on the property is asked by the checks reliance.*.",
                "There is no trouble where it belongs to the class (night is dark), or is another name of the label.",
                *(
                    [f"Left out: {_classes(self.left_out)} with fewer than {MIN_IMAGES} images."]
                    if self.left_out
                    else []
                ),
            ],
        )

    def _claim(self) -> str:
        if not self.properties:
            return (
                f"Nothing can be said: {_classes(len(self.classes))} {'has' if len(self.classes) == 1 else 'have'} "
                f"{MIN_IMAGES} images or more, and at least two must."
            )
        telling = [p for p in self.properties if p.p < ALPHA and p.strength.low > WARN_AT]
        best = telling[0] if telling else self.properties[0]
        what = f"the column {best.name!r}" if best.name in self.columns else f"{best.name} of the image"
        if best.name in FILE:
            what = f"the {best.name}"
        claim = (
            f"{what[:1].upper()}{what[1:]} alone tells {self._told(best)} {percent_interval(best.strength)} of the way "
            "from guessing to always right"
        )
        if not telling:
            return f"No property certainly tells much of the label; most: {claim[:1].lower()}{claim[1:]}."
        others = [p.name for p in telling[1:6]]
        return claim + (f"; so do {', '.join(others)}, less." if others else ".")

    def _told(self, found: Correlation) -> str:
        return "the label" if found.told is None else f"{self.classes[found.told]!r} from the others"

    def _spread(self, best: Correlation) -> Table:
        """Which share of each class is in each cell of a property, for the cells with most images."""
        shares = best.counts / best.counts.sum(0)
        order = np.sort(np.argsort(-best.counts.sum(1), kind="stable")[:ROWS])
        first = [best.told] if best.told is not None else []
        shown = [*first, *(k for k in range(len(self.classes)) if k not in first)][:SHOWN_CLASSES]
        columns = [Column(name=best.name), *(Column(name=self.classes[k], kind="share") for k in shown)]
        rows: list[list[Cell]] = [[best.cells[i], *shares[i, shown].round(3).tolist()] for i in order]
        return Table(
            title=f"Which share of each class has which {best.name!r}: columns alike tell nothing",
            columns=columns,
            rows=rows,
        )

    def _evidence(self) -> list[Evidence]:
        if not self.properties:
            return []
        strongest, best = self.strongest, self.properties[0]
        columns = [
            Column(name="property"),
            Column(name="is"),
            Column(name="tells"),
            Column(name="how well", kind="share"),
            Column(name="95 % interval for all", kind="interval"),
            Column(name="p (Holm)", kind="number"),
        ]
        rows: list[list[Cell]] = [
            [
                p.name,
                "a column" if p.name in self.columns else "computed",
                self._told(p),
                round(p.strength.value, 3),
                [round(p.strength.low, 3), round(p.strength.high, 3)],
                round(p.p, 3),
            ]
            for p in self.properties[:ROWS]
        ]
        return [
            Estimate(
                label="How far the best property tells the label, from guessing (0) to always (100 %)",
                value=strongest.value,
                low=strongest.low,
                high=strongest.high,
                n=self.images,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            Table(title="What tells the label, best first", columns=columns, rows=rows),
            self._spread(best),
            *([self.examples] if self.examples else []),
        ]


@check("data.correlation", needs=[LABELS])
def correlation(recording: Recording, engine: Engine, *, seed: int) -> DataCorrelation:
    """Does something simple about the images give their label away?

    What it asks:
        How well can the label be told from one property alone: a column that came with the images (source, device,
        place), the format and size of the file, or something that is computed of up to 2,000 pictures as they are
        stored: size and shape, brightness, contrast, colour, saturation, sharpness, fine detail, frame, corners?

    Why it matters:
        Whatever gives the label away in the data is what a network can learn instead of the object, and a test on data
        from the same source will not show it.

    How to read it:
        0 % is guessing and 100 % is always right, where classes count alike: always saying the most common one is
        guessing. A property can tell all classes, or one of them from all others; the better counts. It is cut into a
        few cells without looking at labels; an image's class is told by which class has the largest share of its other
        images in the same cell. The intervals hold for all properties together; p says how often shuffled labels are
        told as well. The second table shows how the images of each class spread over the best property; a group is of
        pictures that are alike in it.

    Limits:
        One property at a time is looked at, not what several tell together. Pictures are looked at as a whole, at the
        frame and the corners; an object that comes along somewhere is not seen. Properties that belong to the class
        are found, too. Cells lose detail within a range.

    References:
        C. Northcutt et al., cleanlab (Datalab), 2023; its score takes noise for telling where classes are unequal.

        S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.

        A. Torralba, A. Efros, Unbiased look at dataset bias, CVPR 2011.
    """
    targets = recording.targets[recording.labelled]
    present, counts = np.unique(targets, return_counts=True)
    kept = present[counts >= MIN_IMAGES]
    names = tuple(recording.subject.classifier.class_names[target] for target in kept)
    left_out = len(present) - len(kept)
    rows = recording.labelled[np.isin(targets, kept)]
    if len(rows) > MOST_IMAGES:
        rows = _sample(rows, recording.targets[rows], seed)
    if len(kept) < 2:
        return DataCorrelation(
            images=0, classes=names, left_out=left_out, properties=(), columns=frozenset(), examples=None
        )
    columns = _columns(recording.subject.images.table.iloc[rows])
    cells = columns | _computed(recording.subject, engine, rows)
    classes = np.searchsorted(kept, recording.targets[rows])
    found = label_correlations(cells, classes, seed=seed)
    order = sorted(found, key=lambda c: (c.p >= ALPHA, -c.strength.low, -c.strength.value, c.name))
    return DataCorrelation(
        images=len(rows),
        classes=names,
        left_out=left_out,
        properties=tuple(order),
        columns=frozenset(columns),
        examples=_examples(recording, rows, names, classes, order[0], cells[order[0].name]),
    )


def _classes(count: int) -> str:
    return f"{count} class" if count == 1 else f"{count} classes"


def _sample(rows: NDArray[np.int64], targets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """MOST_IMAGES rows at random, but MIN_IMAGES of every class where there are not too many classes."""
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    turn = pd.Series(targets[shuffled]).groupby(targets[shuffled]).cumcount().to_numpy()
    first = shuffled[np.argsort(turn >= MIN_IMAGES, kind="stable")]
    return np.sort(rows[first[:MOST_IMAGES]])


def _columns(table: pd.DataFrame) -> dict[str, Cells]:
    """The columns that came with the images; text that never repeats says nothing."""
    found = {}
    for name, values in table.items():
        scalar = all(pd.api.types.is_scalar(value) for value in values)
        if name not in {"path", "label", "mask"} and scalar:
            cells = column_cells(values)
            if 1 < len(cells[1]) < len(values):
                found[str(name)] = cells
    return found


def _computed(subject: Subject, engine: Engine, rows: NDArray[np.int64]) -> dict[str, Cells]:
    """What is computed of the pictures, and of their files where they are files."""
    seen = engine.map(_properties, subject, rows, task="Looking at the pictures", chunk=64)
    found = {name: point_cells(points) for name, points in seen.items() if name not in FILE}
    formats, sizes = (seen[name] for name in FILE)
    if (formats != "").any():
        found[FILE[0]] = column_cells(pd.Series(formats))
        found[FILE[1]] = point_cells(sizes)
    return {name: cells for name, cells in found.items() if len(np.unique(cells[0])) > 1}


def _properties(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    properties = [image_properties(np.asarray(subject.images[i])) for i in indices]
    files = [file_facts(subject.images.fetch(i)) or ("", 0) for i in indices]
    return {name: np.stack([each[name] for each in properties]) for name in properties[0]} | {
        FILE[0]: np.array([kind for kind, _ in files], dtype="U16"),
        FILE[1]: np.array([[float(size)] for _, size in files]),
    }


def _examples(
    recording: Recording,
    rows: NDArray[np.int64],
    names: Sequence[str],
    classes: NDArray[np.int64],
    best: Correlation,
    cells: Cells,
) -> ImageGrid:
    """Images of each class from the cell in which the class is most at home."""
    index, cell_names = cells
    shares = best.counts / best.counts.sum(0)
    lead = shares - (shares.sum(1, keepdims=True) - shares) / (len(names) - 1)
    items = []
    for k in range(min(len(names), SHOWN_CLASSES)):
        home = int(np.argmax(lead[:, k]))
        for row in rows[(classes == k) & (index == home)][:SHOWN_EACH]:
            pixels = recording.subject.pixels([int(row)])[0].cpu().numpy()
            shown = picture(pixels, f"An image of {names[k]}, {best.name}: {cell_names[home]}")
            items.append(GridItem(picture=shown, caption=names[k], note=cell_names[home]))
    return ImageGrid(title=f"Images of each class from where it is most at home in {best.name!r}", items=items)
