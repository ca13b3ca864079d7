"""units.label_detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.methods.units.shared.words import ENOUGH, Detector, Words, WordTable, word_table, words_of
from deeptroubles.network import LOGITS, open_network
from deeptroubles.network.unit_layers import unit_layers
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.80, 0.95
MOST_IMAGES = 2000
TOP = 9
ROWS = 30
"""A table has no more rows than this."""
NAMED = 5
"""A caveat names no more words than this."""


@dataclass(frozen=True, kw_only=True)
class LabelDetectors:
    """Which units detect which words. The units are those of one layer, followed by the logits."""

    images: int
    layer: str
    features: int
    class_names: tuple[str, ...]
    words: Words
    table: WordTable | None
    strongest: ImageGrid | None

    @property
    def detectors(self) -> list[Detector]:
        """The unit that detects each word that is no label best within classes, the surest first."""
        if self.table is None:
            return []
        chosen = np.flatnonzero(~self.words.is_label & self.table.enough_within)
        return sorted((self.table.best_unit(int(word), within=True) for word in chosen), key=lambda d: -d.within.low)

    @property
    def strongest_detection(self) -> Interval:
        """The highest area within classes of all units and words that are no label; the intervals hold together."""
        if self.table is None or not self.detectors:
            return Interval(float("nan"), 0.0, 1.0)
        chosen = ~self.words.is_label & self.table.enough_within
        ends = (self.table.within.value, *self.table.within_ends)
        return Interval(*(float(end[:, chosen].max()) for end in ends))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        detectors, strongest = self.detectors, self.strongest_detection
        units = self.features + len(self.class_names)
        verdict = judge(strongest, self.images if detectors else 0, warn_at=WARN_AT, fail_at=FAIL_AT)
        yield Finding(
            check="units.label_detectors",
            verdict=verdict,
            severity=strongest.value if detectors else 0.0,
            claim=self._claim(verdict) + self._labels(),
            criterion="Fails when the area under the ROC curve of a unit for a word that is no label, within classes, "
            f"is above {FAIL_AT} with 95 % confidence (for all units and words together), warns above {WARN_AT}, "
            f"passes when more than {FAIL_AT} can be ruled out; inconclusive otherwise, and where no such word is "
            f"carried and lacked by {ENOUGH} images each, in classes in which both occur. The thresholds are "
            f"conventions. That units detect classes (area above {WARN_AT}, too) is expected, and not judged.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "Detecting is not relying: whether the answer depends on the word is asked by the checks reliance.*.",
                *self._left_out(),
                f"Each word is told with the best of {units} units; the intervals hold for all of them together.",
            ],
        )

    def _claim(self, verdict: Verdict) -> str:
        if not self.detectors:
            return (
                "Nothing can be said of words that should not matter: no column beside the label has a value that "
                f"{ENOUGH} images carry and {ENOUGH} lack, in classes in which both occur."
            )
        best = self.detectors[0]
        word, unit = self.words.names[best.word], self._unit(best.unit)
        is_one = verdict in {Verdict.FAIL, Verdict.WARN}
        what = f"{_capital(unit)} detects {word!r}" if is_one else f"The unit that detects {word!r} best is {unit}"
        return (
            f"{what}: of two images of a class, it answers more to the one with it in {percent_interval(best.within)} "
            "of the pairs."
        )

    def _labels(self) -> str:
        classes = self._classes()
        known = sum(d.overall.low > WARN_AT for d in classes)
        return f" {known} of {len(classes)} classes have a detector in layer {self.layer}." if classes else ""

    def _unit(self, unit: int) -> str:
        if unit < self.features:
            return f"unit {unit} of layer {self.layer}"
        return f"the logit of {self.class_names[unit - self.features]}"

    def _classes(self) -> list[Detector]:
        """The feature that detects each class best, the surest first."""
        if self.table is None:
            return []
        low = self.table.overall_ends[0][: self.features or None]
        chosen = np.flatnonzero(self.words.is_label & self.words.enough)
        best = [self.table.detector(int(low[:, word].argmax()), int(word)) for word in chosen]
        return sorted(best, key=lambda d: -d.overall.low)

    def _left_out(self) -> list[str]:
        words, enough = self.words, self.words.enough
        within = self.table.enough_within if self.table else np.zeros_like(enough)
        groups = (
            (~enough, f"carried or lacked by fewer than {ENOUGH} images, too few to say"),
            (enough & ~within & ~words.is_label, "cannot be told apart from the class on these images"),
        )
        caveats = []
        for chosen, why in groups:
            names = [words.names[i] for i in np.flatnonzero(chosen)]
            if names:
                more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
                caveats.append(f"Left out, because {why}: {', '.join(names[:NAMED])}{more}.")
        return caveats

    def _evidence(self) -> list[Evidence]:
        found: list[Evidence] = []
        if detectors := self.detectors:
            best = detectors[0]
            title = (
                f"{_capital(self._unit(best.unit))}: how well it tells {self.words.names[best.word]!r} within classes"
            )
            found.append(
                Estimate(
                    label=title,
                    value=best.within.value,
                    low=best.within.low,
                    high=best.within.high,
                    n=self.images,
                    warn_at=WARN_AT,
                    fail_at=FAIL_AT,
                )
            )
            found += [self.strongest] if self.strongest else []
            found.append(self._table("Words that are no label, and the unit that detects each best", detectors))
        if classes := self._classes():
            found.append(self._table(f"Classes, and the unit of layer {self.layer} that detects each best", classes))
        return found

    def _table(self, title: str, detectors: Sequence[Detector]) -> Table:
        shown = f" (the surest {ROWS} of {len(detectors)})" if len(detectors) > ROWS else ""
        columns = [Column(name="word"), Column(name="unit")]
        for pairs in ("within classes", "overall"):
            columns += [Column(name=f"area {pairs}", kind="number"), Column(name="95 % interval", kind="interval")]
        columns += [Column(name=f"of its {TOP} strongest images", kind="share"), Column(name="of all", kind="share")]
        return Table(title=title + shown, columns=columns, rows=[self._row(d) for d in detectors[:ROWS]])

    def _row(self, found: Detector) -> list[Cell]:
        cells: list[Cell] = [self.words.names[found.word], self._unit(found.unit)]
        for area in (found.within, found.overall):
            has_pairs = not np.isnan(area.value)  # classes have none within themselves
            cells += [round(area.value, 3), [round(area.low, 3), round(area.high, 3)]] if has_pairs else [None, None]
        return [*cells, round(found.purity, 3), round(float(self.words.base_rate[found.word]), 3)]


@check("units.label_detectors", needs=[LABELS])
def label_detectors(recording: Recording, engine: Engine, *, seed: int) -> LabelDetectors:
    """Are there units that detect a label, or a word that should not matter?

    What it asks:
        Up to 2,000 images are shown to the network. How well does the activation of each unit (of the last layer before
        the logits, and of the logits) tell images that carry a word from those that do not? Words are the classes, and
        the values of every other column that came with the images, such as source, device, or hospital.

    Why it matters:
        That units detect classes is what training is for. A unit that detects a tag, a scanner or a photographer shows
        that the network computes it, so that its answer can come to depend on it.

    How to read it:
        The area under the ROC curve is the share of pairs of images, one with the word and one without, in which the
        unit answers more to the one with it: 0.5 is chance, 1 is always. A word that goes along with a class is
        detected by whatever detects the class; so words are judged on pairs of images of the same class. The pictures
        are the images that the unit answers to most.

    Limits:
        Detecting is not relying: a unit can detect what the answer never uses. Within a class a word can go along with
        something else, which may be what the unit detects. Only single units are looked at, not what several of them
        tell together, and of each its strongest position only.

    References:
        D. Bau et al., Network dissection: quantifying interpretability of deep visual representations, CVPR 2017.

        J. A. Hanley, B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 1982.

        R. G. Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
        Statistics in Medicine 2006.
    """
    subject, rows = recording.subject, np.arange(len(recording.logits))
    if len(rows) > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_IMAGES, replace=False))
        subject = Subject(subject.classifier, subject.images.subset(rows), subject.targets[rows])
    words = words_of(subject, range(len(rows)))
    names = subject.classifier.class_names
    if not words.enough.any():  # nothing can come of it
        return LabelDetectors(
            images=len(rows), layer=LOGITS, features=0, class_names=names, words=words, table=None, strongest=None
        )
    layer = _feature_layer(subject)
    features = np.zeros((len(rows), 0), dtype=np.float32)
    if layer != LOGITS:
        features = index_units(subject, engine, [layer], samples=1, keep=len(rows), seed=seed).layers[layer].values
    values = np.concatenate([features, recording.logits[rows]], axis=1)
    table = word_table(values, words, subject.targets, top=TOP)
    result = LabelDetectors(
        images=len(rows),
        layer=layer,
        features=features.shape[1],
        class_names=names,
        words=words,
        table=table,
        strongest=None,
    )
    if not result.detectors:
        return result
    best = result.detectors[0]
    order = np.argsort(-values[:, best.unit], kind="stable")[:TOP]
    return replace(result, strongest=_strongest(subject, words, best, order))


def _feature_layer(subject: Subject) -> str:
    """The last layer with units that is not one number per class."""
    shape = (subject.classifier.classes,)
    features = [layer.name for layer in unit_layers(open_network(subject.classifier)) if layer.shape != shape]
    return features[-1] if features else LOGITS


def _strongest(subject: Subject, words: Words, best: Detector, order: NDArray[np.int64]) -> ImageGrid:
    """The images that a unit answers to most."""
    word, items = words.names[best.word], []
    for row in order.tolist():
        label = subject.images.labels[row] or "no label"
        known, carried = words.known[row, best.word], words.carried[row, best.word]
        note = (word if carried else f"not {word}") if known else "not known"
        shown = picture(subject.pixels([row])[0].cpu().numpy(), f"An image of {label}, {note}")
        items.append(GridItem(picture=shown, caption=label, note=note))
    share = f"{percent(best.purity)} carry {word!r}, of all images {percent(float(words.base_rate[best.word]))}"
    return ImageGrid(title=f"The images that the unit answers to most: {share}", items=items)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
