"""performance.lookalikes: which classes does it confuse with each other, and how well does it tell them apart?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ModelError
from deeptroubles.findings import (
    Cell,
    Column,
    Evidence,
    Finding,
    GridItem,
    Heatmap,
    Heatmaps,
    ImageGrid,
    Table,
    Verdict,
)
from deeptroubles.methods.catalogue import ATTRIBUTION, DEFAULT_ATTRIBUTION
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.confusable_pairs import Pairs, confusable_pairs
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

MIN_OF_CLASS = MIN_IMAGES // 2
ALPHA = 0.05
MAX_IMAGES, PAIRS_SHOWN, SIDE = 5000, 10, 4
LIMITS = Limits(
    "the error between the two classes of a confusable pair",
    warn_at=0.10,
    fail_at=0.25,
    note=f"A pair counts if its confusion is more than accuracy alone gives (p < {ALPHA}, corrected for the number of "
    "pairs); with none, the most confused pair is judged, and passes or is inconclusive. Intervals are corrected for "
    "the number of pairs. The thresholds are conventions: guessing between two classes gives 50%.",
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two classes: the mass of their confusion, what accuracy alone gives, and the error between the two.

    `p` is None where the network has only these two classes: all that it gets wrong is their confusion. `bound` is the
    interval of the error that is corrected for the number of pairs.
    """

    names: tuple[str, str]
    images: int
    mass: float
    expected: float
    p: float | None
    error: Interval
    bound: Interval

    @property
    def significant(self) -> bool:
        """Whether they are confused more than accuracy alone gives."""
        return self.p is None or self.p < ALPHA


@dataclass(frozen=True, kw_only=True)
class Lookalikes:
    """The most confusable pairs, the first with its images."""

    pairs: tuple[Pair, ...]
    classes: int
    pictures: tuple[Evidence, ...]

    @property
    def worst(self) -> Pair:
        """The pair that is judged: of those confused more than accuracy gives, the one with the clearest error."""
        counted = [pair for pair in self.pairs if pair.significant]
        return max(counted, key=lambda pair: pair.bound.low) if counted else self.pairs[0]

    @property
    def verdict(self) -> Verdict:
        """By the limits; only a pair that is confused more than accuracy alone gives can fail or warn."""
        if not self.pairs:
            return Verdict.INCONCLUSIVE
        found = LIMITS.verdict(self.worst.bound, self.worst.images)
        accused = found in {Verdict.WARN, Verdict.FAIL}
        return Verdict.INCONCLUSIVE if accused and not self.worst.significant else found

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        yield Finding(
            check="performance.lookalikes",
            verdict=self.verdict,
            severity=self.worst.error.value if self.pairs else 0.0,
            claim=self._claim(),
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(self.worst.images if self.pairs else 0),
                f"Pairs of the {plural(self.classes, 'class', 'classes')} with {MIN_OF_CLASS} labelled images or more.",
                "Wrong labels look like confusion; data.labels lists suspects.",
            ],
        )

    def _claim(self) -> str:
        if not self.pairs:
            classes = plural(self.classes, "class has", "classes have")
            return f"Inconclusive: {classes} {MIN_OF_CLASS} labelled images or more; a pair needs two."
        pair = self.worst
        claim = (
            f"Between {pair.names[0]} and {pair.names[1]} it is wrong on {percent_interval(pair.error)} of "
            f"{plural(pair.images, 'image')}"
        )
        if pair.p is None:
            return f"{claim}; the network has only these two classes."
        times = f"{percent(pair.mass)} of the probability, {percent(pair.expected)} by accuracy alone"
        more = "confused more" if pair.significant else "not significantly more confused"
        return f"{claim}; they are {more} than accuracy alone gives ({times})."

    def _evidence(self) -> list[Evidence]:
        if not self.pairs:
            columns = [Column(name="classes with enough images", kind="number")]
            return [Table(title="What there was to compare", columns=columns, rows=[[self.classes]])]
        columns = [
            Column(name="class"),
            Column(name="and class"),
            Column(name="images", kind="number"),
            Column(name="accuracy between the two", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="probability on the other", kind="share"),
            Column(name="by accuracy alone", kind="share"),
            Column(name="p (corrected)", kind="number"),
        ]
        rows: list[list[Cell]] = []
        for pair in self.pairs[:PAIRS_SHOWN]:
            interval = [1 - pair.error.high, 1 - pair.error.low]
            rows.append([*pair.names, pair.images, 1 - pair.error.value, interval, pair.mass, pair.expected, pair.p])
        label = f"Error between {self.worst.names[0]} and {self.worst.names[1]}, corrected for the number of pairs"
        return [
            LIMITS.estimate(label, self.worst.bound, self.worst.images),
            Table(title="The most confusable pairs", columns=columns, rows=rows),
            *self.pictures,
        ]


@check("performance.lookalikes", needs=[LABELS])
def lookalikes(recording: Recording, engine: Engine, *, seed: int) -> Lookalikes:
    """Which two classes does it confuse most, and how well does it tell them apart?

    What it asks:
        For every pair of classes: how much probability does each get on images of the other, more than if mistakes were
        spread evenly? How often is the true one of the two more likely?

    Why it matters:
        Chihuahua or muffin: an accuracy over all classes hides that two of them are hardly told apart.

    How to read it:
        The error counts images of the two classes on which the wrong one of the two is more likely; guessing gives 50%.
        The estimate's interval is corrected for the number of pairs, those of the table are not. The grid alternates
        the two classes, with the images that are most confusable first. The maps show the evidence for the true class
        against the other: warm colors are evidence for the true one.

    Limits:
        Whether classes are confused because they look alike, because labels are wrong, or because one was rare in
        training is not decided here. With two classes the error is that of performance.accuracy, and there is no test.
        At most 5,000 images are used.

    References:
        P. Westfall, S. Young, Resampling-based multiple testing, Wiley 1993.

        R. R. Selvaraju et al., Grad-CAM, ICCV 2017 (counterfactual and contrastive maps).
    """
    labelled = recording.labelled
    rows = labelled[evenly_spaced(len(labelled), MAX_IMAGES)]
    targets = recording.targets[rows]
    classes, counts = np.unique(targets, return_counts=True)
    classes = classes[counts >= MIN_OF_CLASS]
    if len(classes) < 2:
        return Lookalikes(pairs=(), classes=len(classes), pictures=())
    ranked = confusable_pairs(recording.probabilities[rows], targets, classes, seed=seed)
    only_two = recording.subject.classifier.classes == 2
    counted = [i for i, p in enumerate(ranked.p) if i < PAIRS_SHOWN or p < ALPHA]
    pairs = tuple(_pair(recording, rows, ranked, i, only_two=only_two) for i in counted)
    found = Lookalikes(pairs=pairs, classes=len(classes), pictures=())
    i = counted[pairs.index(found.worst)]
    two = int(ranked.first[i]), int(ranked.second[i])
    pictures: tuple[Evidence, ...] = (_grid(recording, rows, two), *_maps(recording, engine, rows, two))
    return Lookalikes(pairs=pairs, classes=len(classes), pictures=pictures)


def _pair(recording: Recording, rows: NDArray[np.int64], ranked: Pairs, i: int, *, only_two: bool) -> Pair:
    two = np.array([ranked.first[i], ranked.second[i]])
    mine = rows[np.isin(recording.targets[rows], two)]
    wrong = int((two[recording.logits[np.ix_(mine, two)].argmax(1)] != recording.targets[mine]).sum())
    names = recording.subject.classifier.class_names
    return Pair(
        names=(names[two[0]], names[two[1]]),
        images=len(mine),
        mass=float(ranked.mass[i]),
        expected=float(ranked.expected[i]),
        p=None if only_two else float(ranked.p[i]),
        error=wilson(wrong, len(mine)),
        bound=wilson(wrong, len(mine), 1 - ALPHA / len(ranked.first)),
    )


def _most_confusable(
    recording: Recording, rows: NDArray[np.int64], true: int, other: int, most: int
) -> NDArray[np.int64]:
    """The rows of a class on which the other class leads most."""
    mine = rows[recording.targets[rows] == true]
    lead = recording.logits[mine, other] - recording.logits[mine, true]
    return np.asarray(mine[np.argsort(-lead, kind="stable")][:most])


def _grid(recording: Recording, rows: NDArray[np.int64], two: tuple[int, int]) -> ImageGrid:
    """At most 4 x 4 images in which the two classes alternate."""
    first, second = (_most_confusable(recording, rows, *pair, SIDE * SIDE // 2) for pair in (two, two[::-1]))
    names = recording.subject.classifier.class_names
    items = [_item(recording, int(row)) for both in zip(first, second, strict=False) for row in both]
    return ImageGrid(title=f"{names[two[0]]} or {names[two[1]]}?", items=items, columns=SIDE)


def _item(recording: Recording, row: int) -> GridItem:
    names = recording.subject.classifier.class_names
    true, predicted = names[recording.targets[row]], names[recording.predicted[row]]
    pixels = recording.subject.pixels([row])[0].cpu().numpy()
    return GridItem(
        picture=picture(pixels, f"An image of class {true}", row), caption=true, note=f"predicted: {predicted}"
    )


def _maps(recording: Recording, engine: Engine, rows: NDArray[np.int64], two: tuple[int, int]) -> tuple[Heatmaps, ...]:
    """The evidence for the true class against the other, on an image of each class; none if no method works."""
    chosen = [int(_most_confusable(recording, rows, *pair, 1)[0]) for pair in (two, two[::-1])]
    for method in DEFAULT_ATTRIBUTION:
        try:
            found = engine.map(
                _contrast, recording.subject, chosen, task="Contrasting two classes", method=method, two=list(two)
            )["map"]
        except ModelError:
            continue
        names = recording.subject.classifier.class_names
        limit = float(np.abs(found).max()) or 1.0
        items = []
        for row, values, (true, other) in zip(chosen, found, (two, two[::-1]), strict=True):
            text = f"{names[true]} against {names[other]}, on an image of class {names[true]}"
            shown = picture(recording.subject.pixels([row])[0].cpu().numpy(), text, row)
            items.append(Heatmap(values=values.round(5).tolist(), caption=text, alt=text, picture=shown))
        title, label = "Evidence for the true class against the other", f"{method}, difference of logits"
        return (Heatmaps(title=title, items=items, low=-limit, high=limit, diverging=True, scale_label=label),)
    return ()


def _contrast(subject: Subject, indices: Sequence[int], batch_size: int, method: str, two: Sequence[int]) -> Arrays:
    """The map of each image's class against the other of two."""
    targets = subject.targets[np.asarray(indices)].tolist()
    against = [two[1] if target == two[0] else two[0] for target in targets]
    maps = ATTRIBUTION[method].function(subject.classifier, subject.pixels(indices), targets, against=against)
    return {"map": maps.double().cpu().numpy()}
