"""data.correlation: can the label be predicted from a simple image property?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import listed, percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table
from deeptroubles.images.decoding import file_facts
from deeptroubles.methods.properties.cells import Cells, column_cells, point_cells
from deeptroubles.methods.properties.image_properties import image_properties
from deeptroubles.methods.properties.label_correlation import Correlation, label_correlations
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

ALPHA = 0.05
LIMITS = Limits(
    "the score (0: chance, 100%: perfect) with which one property predicts the label, or one class against all others "
    "(for all of them together),",
    warn_at=0.25,
    fail_at=0.50,
    note=f"A property counts only if shuffled labels reach its score in less than {percent(ALPHA)} of draws (Holm-"
    f"corrected). Also inconclusive if fewer than two classes have {MIN_IMAGES} images. All classes have the same "
    "weight. The thresholds are conventions.",
)
MAX_IMAGES = 2000
MAX_ROWS = 30
CLASSES_SHOWN, SHOWN_EACH = 8, 3
FILE = ("file format", "file size")


@dataclass(frozen=True, kw_only=True)
class DataCorrelation:
    """How well each property of the images predicts their label, the best first.

    Attributes:
        images: How many images were used, of classes with enough of them.
        classes: The names of these classes.
        left_out: How many classes have too few images.
        properties: One entry per property.
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
        """The highest score of all properties that shuffled labels do not reach; the intervals hold together."""
        if not self.properties:
            return Interval(float("nan"), 0.0, 1.0)
        ends = [p.strength if p.p < ALPHA else p.strength._replace(low=0.0) for p in self.properties]
        return Interval(*(max(column) for column in zip(*ends, strict=True)))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        strongest = self.strongest
        yield Finding(
            check="data.correlation",
            verdict=LIMITS.verdict(strongest, self.images),
            severity=strongest.value if self.properties else 0.0,
            claim=self._claim(),
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "This is about the images; the checks reliance.* test whether predictions depend on a property.",
                "It is not a problem if the property belongs to the class (night is dark) or renames the label.",
                *(
                    [f"{plural(self.left_out, 'class', 'classes')} with fewer than {MIN_IMAGES} images not used."]
                    if self.left_out
                    else []
                ),
            ],
        )

    def _claim(self) -> str:
        if not self.properties:
            return (
                f"Inconclusive: needs two classes with {MIN_IMAGES} images or more, and "
                f"{plural(len(self.classes), 'class has', 'classes have')}."
            )
        strong = [p for p in self.properties if p.p < ALPHA and p.strength.low > LIMITS.warn_at]
        best = strong[0] if strong else self.properties[0]
        what = f"the column {best.name!r}" if best.name in self.columns else f"the image property {best.name!r}"
        if best.name in FILE:
            what = f"the {best.name}"
        claim = (
            f"{what[:1].upper()}{what[1:]} alone predicts {self._target(best)} with a score of "
            f"{percent_interval(best.strength)}, where 0% is chance and 100% is perfect"
        )
        if not strong:
            return f"No property predicts the label reliably; the strongest: {claim[:1].lower()}{claim[1:]}."
        others = [p.name for p in strong[1:6]]
        return claim + (f"; weaker predictors: {listed(others)}." if others else ".")

    def _target(self, found: Correlation) -> str:
        if found.one_class is None:
            return "the label"
        return f"class {self.classes[found.one_class]!r} (against all others)"

    def _distribution(self, best: Correlation) -> Table:
        """The share of each class in each cell of a property, for the cells with most images."""
        shares = best.counts / best.counts.sum(0)
        order = np.sort(np.argsort(-best.counts.sum(1), kind="stable")[:MAX_ROWS])
        first = [best.one_class] if best.one_class is not None else []
        shown = [*first, *(k for k in range(len(self.classes)) if k not in first)][:CLASSES_SHOWN]
        columns = [Column(name=best.name), *(Column(name=self.classes[k], kind="share") for k in shown)]
        rows: list[list[Cell]] = [[best.cells[i], *shares[i, shown].round(3).tolist()] for i in order]
        return Table(title=f"The distribution of {best.name!r} in each class", columns=columns, rows=rows)

    def _evidence(self) -> list[Evidence]:
        if not self.properties:
            return []
        best = self.properties[0]
        columns = [
            Column(name="property"),
            Column(name="source"),
            Column(name="predicts"),
            Column(name="score", kind="share"),
            Column(name="95% CI (all together)", kind="interval"),
            Column(name="p (Holm)", kind="number"),
        ]
        rows: list[list[Cell]] = [
            [
                p.name,
                "column" if p.name in self.columns else "computed",
                self._target(p),
                round(p.strength.value, 3),
                [round(p.strength.low, 3), round(p.strength.high, 3)],
                round(p.p, 3),
            ]
            for p in self.properties[:MAX_ROWS]
        ]
        return [
            LIMITS.estimate("Score of the best property (0: chance, 100%: perfect)", self.strongest, self.images),
            Table(title="Predictors of the label, best first", columns=columns, rows=rows),
            self._distribution(best),
            *([self.examples] if self.examples else []),
        ]


@check("data.correlation", needs=[LABELS])
def correlation(recording: Recording, engine: Engine, *, seed: int) -> DataCorrelation:
    """Can the label be predicted from a simple image property?

    What it asks:
        How well does one property alone predict the label? Properties are the columns that came with the images
        (source, device, place), the format and size of the file, and what is computed from up to 2,000 images as they
        are stored: size and shape, brightness, contrast, color, saturation, sharpness, fine detail, frame, corners.

    Why it matters:
        A network can learn whatever predicts the label instead of the object, and a test on data from the same source
        does not show it.

    How to read it:
        A score of 0 is chance and 100% is perfect; all classes have the same weight, so always predicting the most
        common one is chance. A property can predict all classes, or one against all others; the better score counts. It
        is divided into a few cells without using labels; the predicted class of an image is the one with the largest
        share of its other images in the same cell. The intervals hold for all properties together; p is how often
        shuffled labels reach the score. The second table shows the distribution of the best property in each class; a
        cluster holds images with similar values.

    Limits:
        Properties are tested one at a time, not in combination. They are computed from the whole image, the frame and
        the corners; an object at varying positions is not seen. Properties that belong to the class are found too.
        Cells lose detail within a range.

    References:
        C. Northcutt et al., cleanlab (Datalab), 2023; its score is inflated where classes are unequal.

        S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.

        A. Torralba, A. Efros, Unbiased look at dataset bias, CVPR 2011.
    """
    targets = recording.targets[recording.labelled]
    present, counts = np.unique(targets, return_counts=True)
    kept = present[counts >= MIN_IMAGES]
    names = tuple(recording.subject.classifier.class_names[target] for target in kept)
    left_out = len(present) - len(kept)
    rows = recording.labelled[np.isin(targets, kept)]
    if len(rows) > MAX_IMAGES:
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


def _sample(rows: NDArray[np.int64], targets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """MAX_IMAGES random rows, with MIN_IMAGES of every class unless there are too many classes."""
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    position = pd.Series(targets[shuffled]).groupby(targets[shuffled]).cumcount().to_numpy()
    first = shuffled[np.argsort(position >= MIN_IMAGES, kind="stable")]
    return np.sort(rows[first[:MAX_IMAGES]])


def _columns(table: pd.DataFrame) -> dict[str, Cells]:
    """The columns that came with the images, without text that never repeats."""
    found = {}
    for name, values in table.items():
        scalar = all(pd.api.types.is_scalar(value) for value in values)
        if name not in {"path", "label", "mask"} and scalar:
            cells = column_cells(values)
            if 1 < len(cells[1]) < len(values):
                found[str(name)] = cells
    return found


def _computed(subject: Subject, engine: Engine, rows: NDArray[np.int64]) -> dict[str, Cells]:
    """Properties computed from the images, and from their files if they are files."""
    seen = engine.map(_properties, subject, rows, task="Computing image properties", chunk=64)
    found = {name: point_cells(points) for name, points in seen.items() if name not in FILE}
    formats, sizes = (seen[name] for name in FILE)
    if (formats != "").any():
        found[FILE[0]] = column_cells(pd.Series(formats))
        found[FILE[1]] = point_cells(sizes)
    return {name: cells for name, cells in found.items() if len(np.unique(cells[0])) > 1}


def _properties(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
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
    """Images of each class from the cell that is most typical of it."""
    index, cell_names = cells
    shares = best.counts / best.counts.sum(0)
    lead = shares - (shares.sum(1, keepdims=True) - shares) / (len(names) - 1)
    items = []
    for k in range(min(len(names), CLASSES_SHOWN)):
        home = int(np.argmax(lead[:, k]))
        for row in rows[(classes == k) & (index == home)][:SHOWN_EACH]:
            pixels = recording.subject.pixels([int(row)])[0].cpu().numpy()
            shown = picture(pixels, f"An image of {names[k]}, {best.name}: {cell_names[home]}", int(row))
            items.append(GridItem(picture=shown, caption=names[k], note=cell_names[home]))
    return ImageGrid(title=f"Images of each class from its most typical range of {best.name!r}", items=items)
