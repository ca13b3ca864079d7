"""performance.baseline: is it better than classifiers that need no learned features?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest

from deeptroubles.checks.limits import MIN_IMAGES, estimate, few
from deeptroubles.checks.options import LABELS, TRAINING
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, plural, points, points_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.baselines.fit_baseline import BASELINES, fit_baseline, out_of_fold
from deeptroubles.methods.properties.near_duplicates import duplicate_groups
from deeptroubles.methods.properties.perceptual_hash import thumbnail
from deeptroubles.pictures import picture
from deeptroubles.progress import track
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import Subject

FOLDS = 5
MIN_OF_CLASS = 10
"""A class with fewer images is left out: a fold would leave a baseline hardly any to learn from."""
MARGIN = 0.05
"""A color histogram does as well when the network is less than this ahead (entire interval)."""
MAX_IMAGES, MAX_TRAINING = 1000, 3000
EXAMPLES_SHOWN = 12
TOGETHER = 1 - 0.05 / len(BASELINES)
"""The level of the interval of each baseline, so that all hold together at 95%."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Network and baselines on the same images.

    Attributes:
        network: Whether the network is right, N.
        baselines: Whether each baseline is right, N, by its name.
        groups: N; near-duplicates have the same number and count as one image.
        chance: The accuracy of always predicting the most common class.
        classes: How many classes there were to choose from.
        fitted: How many images the baselines were fitted on.
        given: Whether these were given as training images.
        left_out: Why images or classes were left out.
        grids: Images that only one of network and best baseline gets right.
    """

    network: NDArray[np.bool_]
    baselines: dict[str, NDArray[np.bool_]]
    groups: NDArray[np.int64]
    chance: float
    classes: int
    fitted: int
    given: bool
    left_out: tuple[str, ...]
    grids: tuple[ImageGrid, ...]

    def share(self, right: NDArray[np.bool_], level: float = 0.95) -> Interval:
        """An accuracy."""
        return mean_share(_per_group(right, self.groups), level)

    def lead(self, name: str, level: float = TOGETHER) -> Interval:
        """The accuracy of the network minus that of a baseline, paired."""
        return mean_difference(_per_group(self.network.astype(float) - self.baselines[name], self.groups), level)

    @property
    def best(self) -> str:
        """The baseline with the highest accuracy."""
        return min(self.baselines, key=lambda name: self.lead(name).value)

    @property
    def over_best(self) -> Interval:
        """The lead over the best baseline; 95%, corrected for the choice among them."""
        leads = [self.lead(name) for name in self.baselines]
        return Interval(*(min(part) for part in zip(*leads, strict=True)))

    @property
    def color_suffices(self) -> bool:
        """Whether a color histogram is about as good as the network, and better than chance."""
        return self.lead("color").high < MARGIN and self.share(self.baselines["color"], TOGETHER).low > self.chance

    @property
    def verdict(self) -> Verdict:
        """Worse than any baseline fails; a color histogram that does as well warns."""
        if self.classes < 2 or len(np.unique(self.groups)) < MIN_IMAGES:
            return Verdict.INCONCLUSIVE
        if any(self.lead(name).high < 0 for name in self.baselines):
            return Verdict.FAIL
        if self.color_suffices:
            return Verdict.WARN
        return Verdict.PASS if self.over_best.low > 0 else Verdict.INCONCLUSIVE

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        source = "the training images" if self.given else "other audited images"
        caveats = [
            *few(len(self.network)),
            *self.left_out,
            f"The baselines were fitted on {plural(self.fitted, 'image')} ({source}); a network that saw many more has "
            "an advantage that is not due to its features." + ("" if self.given else " --training IMAGES removes it."),
            "Baselines with other settings can be better.",
        ]
        yield Finding(
            check="performance.baseline",
            verdict=self.verdict,
            severity=float(np.clip(0.5 - self.over_best.value, 0, 1)) if self.baselines else 0.0,
            claim=self._claim(),
            criterion=f"Fails if the network is less accurate than a baseline on the same images, warns if it is less "
            f"than {points(MARGIN)} more accurate than a color histogram that beats the most common class, and passes "
            "if it is more accurate than every baseline (each with its entire paired interval, 95% for all three "
            f"together). Inconclusive otherwise, and with fewer than {MIN_IMAGES} images or two classes of "
            f"{MIN_OF_CLASS} images. The margin is a convention.",
            evidence=self._evidence(),
            caveats=caveats,
        )

    def _claim(self) -> str:
        if not self.baselines:
            return (
                f"Inconclusive: {plural(self.classes, 'class', 'classes')} with {MIN_OF_CLASS} labelled images or "
                "more; a baseline needs two."
            )
        accuracy, best = self.share(self.network), self.share(self.baselines[self.best])
        claim = (
            f"The network is correct on {percent(accuracy.value)} of {plural(len(self.network), 'image')} and the best "
            f"baseline ({BASELINES[self.best].title}) on {percent(best.value)}: a difference of "
            f"{points_interval(self.over_best)}"
        )
        if self.color_suffices:
            claim += f"; colors alone are enough for {percent(self.share(self.baselines['color']).value)}"
        return f"{claim}."

    def _evidence(self) -> list[Evidence]:
        if not self.baselines:
            return [
                Table(
                    title="Classes with enough images",
                    columns=[Column(name="classes", kind="number")],
                    rows=[[self.classes]],
                )
            ]
        lead = estimate("Network minus best baseline", self.over_best, len(self.network), higher_is_worse=False)
        return [replace(lead, fail_at=0.0), self._accuracies(), self._only_one(), *self.grids]

    def _accuracies(self) -> Table:
        columns = [
            Column(name="classifier"),
            Column(name="accuracy", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="network minus this", kind="share"),
            Column(name="95% CI (all together)", kind="interval"),
        ]
        own = self.share(self.network)
        rows: list[list[Cell]] = [["network", own.value, [own.low, own.high], None, None]]
        for name, right in self.baselines.items():
            share, lead = self.share(right), self.lead(name)
            rows.append(
                [BASELINES[name].title, share.value, [share.low, share.high], lead.value, [lead.low, lead.high]]
            )
        rows.append(["always the most common class", self.chance, None, None, None])
        return Table(title=f"Accuracy among {plural(self.classes, 'class', 'classes')}", columns=columns, rows=rows)

    def _only_one(self) -> Table:
        numbers = ("both correct", "only the network", "only the baseline", "neither", "p (McNemar, Holm)")
        columns = [Column(name="baseline"), *(Column(name=name, kind="number") for name in numbers)]
        counts = [
            [int(part.sum()) for part in (self.network & right, self.network & ~right, ~self.network & right)]
            for right in self.baselines.values()
        ]
        p = holm(np.array([binomtest(one, one + other).pvalue if one + other else 1.0 for _, one, other in counts]))
        rows: list[list[Cell]] = [
            [BASELINES[name].title, *each, len(self.network) - sum(each), round(float(value), 4)]
            for name, each, value in zip(self.baselines, counts, p, strict=True)
        ]
        return Table(title="On how many images only one of them is correct", columns=columns, rows=rows)


@check("performance.baseline", needs=[LABELS], options=[TRAINING])
def baseline(recording: Recording, engine: Engine, *, seed: int) -> Compared:
    """Is it better than classifiers that need no learned features?

    What it asks:
        Three classifiers that were usual before neural networks are fitted to the same task: histograms of oriented
        gradients (HOG) with a linear SVM, a bag of 200 SIFT words with a linear SVM, and a color histogram with a
        logistic regression. Is the network correct more often than the best of them, on the same images?

    Why it matters:
        A network that does not beat them has not learned more than edges and colors. Where a histogram of 64 colors
        does as well, color reveals the class in these images: a finding about the data.

    How to read it:
        The estimate is the accuracy of the network minus that of the best baseline, paired by image; its interval is
        corrected for the choice among three. Network and baselines choose among the same classes: those with 10 images
        or more. Each image is predicted by baselines that were fitted on the other four fifths of up to 1,000 audited
        images, with near-duplicates on one side, or on up to 3,000 training images (`--training IMAGES`).
        Near-duplicates count as one image in accuracies and intervals.

    Limits:
        A network has mostly seen far more images than the baselines, which favors the network; give its training images
        to fit them on. Audited images that the network was trained on favor it too. The interval does not include how
        baselines vary with the images that they were fitted on. Images are scaled to 64 pixels for HOG and to 160 for
        SIFT, because it finds next to nothing in small images. Settings are fixed; those of the regression and of the
        SVMs were chosen on 600 test images of CIFAR-10.

    References:
        N. Dalal, B. Triggs, Histograms of oriented gradients for human detection, CVPR 2005.

        G. Csurka et al., Visual categorization with bags of keypoints, ECCV workshop 2004.

        M. Swain, D. Ballard, Color indexing, IJCV 1991.

        Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
        Psychometrika 1947.
    """
    training = TRAINING.of(recording)
    rows = recording.labelled[evenly_spaced(len(recording.labelled), MAX_IMAGES)]
    classes = recording.targets[rows]
    seen = engine.map(_features, recording.subject, rows, task="Computing HOG, SIFT and colors")
    groups = duplicate_groups(seen["thumbnail"])
    if training is None:
        kept = np.isin(classes, _large(classes, groups))
        known, fitted = np.unique(classes[kept]), int(kept.sum()) * (FOLDS - 1) // FOLDS
    else:
        others = np.flatnonzero(training.targets >= 0)
        others = others[evenly_spaced(len(others), MAX_TRAINING)]
        learned = engine.map(_features, training, others, task="Computing features of training images")
        others, learned = others[learned["readable"]], {k: v[learned["readable"]] for k, v in learned.items()}
        known, fitted = _large(training.targets[others], np.arange(len(others))), len(others)
        kept = np.isin(classes, known)
    left_out = _left_out(len(recording.labelled), len(rows), int(kept.sum()))
    if len(known) < 2 or not kept.any():
        return _nothing(len(known), left_out, given=training is not None)
    rows, classes, groups = rows[kept], classes[kept], groups[kept]
    right = {}
    for name in BASELINES:
        features = seen[name][kept]
        if training is None:
            predicted = out_of_fold(name, features, classes, groups, folds=FOLDS, seed=seed)
        else:
            (predicted,) = [
                fit_baseline(name, learned[name], training.targets[others], seed=seed).predict(features)
                for _ in track([name], f"Fitting {BASELINES[name].title}")
            ]
        right[name] = predicted == classes
    found = Compared(
        network=known[recording.logits[np.ix_(rows, known)].argmax(1)] == classes,
        baselines=right,
        groups=groups,
        chance=float(_per_group(classes[:, None] == known, groups).mean(0).max()),
        classes=len(known),
        fitted=fitted,
        given=training is not None,
        left_out=left_out,
        grids=(),
    )
    return replace(found, grids=_grids(recording, rows, found))


def _features(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Features of all baselines and the thumbnail of each image; zeros where it cannot be read."""
    pixels, readable, _ = subject.readable_pixels(indices)
    place = np.isin(indices, readable)
    if not len(readable):
        pixels = pixels.new_zeros(1, subject.classifier.channels, *subject.classifier.size)
    eight_bit = np.round(pixels.cpu().numpy() * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    pictures = [Image.fromarray(each[..., 0] if each.shape[2] == 1 else each) for each in eight_bit]
    parts = {name: kind.features(pixels) for name, kind in BASELINES.items()}
    parts["thumbnail"] = np.stack([thumbnail(each) for each in pictures])
    found: Arrays = {"readable": place}
    for name, values in parts.items():
        found[name] = np.zeros((len(indices), *values.shape[1:]), dtype=values.dtype)
        found[name][place] = values[: len(readable)]
    return found


def _large(classes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes with enough images; near-duplicates count once."""
    present, counts = np.unique(np.unique(np.stack([classes, groups]), axis=1)[0], return_counts=True)
    return np.asarray(present[counts >= MIN_OF_CLASS])


def _per_group(values: NDArray[np.generic], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of each group (G x ...) of values (N x ...)."""
    group, counts = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    total = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(total, group, values.astype(np.float64))
    return total / counts.reshape(-1, *(1,) * (values.ndim - 1))


def _left_out(labelled: int, looked: int, kept: int) -> tuple[str, ...]:
    """What was not compared, and why."""
    notes = []
    if looked < labelled:
        notes.append(f"{plural(looked, 'image')} of {labelled:,} were compared, at equal distances.")
    if kept < looked:
        notes.append(f"{plural(looked - kept, 'image')} left out: of classes with fewer than {MIN_OF_CLASS} images.")
    return tuple(notes)


def _nothing(classes: int, left_out: tuple[str, ...], *, given: bool) -> Compared:
    nothing = np.zeros(0, dtype=bool)
    return Compared(
        network=nothing,
        baselines={},
        groups=np.zeros(0, dtype=np.int64),
        chance=0.0,
        classes=classes,
        fitted=0,
        given=given,
        left_out=left_out,
        grids=(),
    )


def _grids(recording: Recording, rows: NDArray[np.int64], found: Compared) -> tuple[ImageGrid, ...]:
    """The images that only the network, and only the best baseline, gets right."""
    best, title = found.baselines[found.best], BASELINES[found.best].title
    parts = {"the network": found.network & ~best, f"the baseline ({title})": best & ~found.network}
    return tuple(
        ImageGrid(
            title=f"Only {who} is correct ({plural(int(only.sum()), 'image')})",
            items=[_item(recording, int(row)) for row in rows[only][evenly_spaced(int(only.sum()), EXAMPLES_SHOWN)]],
        )
        for who, only in parts.items()
        if only.any()
    )


def _item(recording: Recording, row: int) -> GridItem:
    names = recording.subject.classifier.class_names
    true, predicted = names[recording.targets[row]], names[recording.predicted[row]]
    pixels = recording.subject.pixels([row])[0].cpu().numpy()
    shown = picture(pixels, f"An image of class {true}, predicted by the network as {predicted}", row)
    return GridItem(picture=shown, caption=true, note=f"network: {predicted}")
