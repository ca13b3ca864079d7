"""units.label_detectors: which units detect a label, or an attribute that should not matter?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import listed, percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.methods.units.shared.attributes import (
    MIN_OCCURRENCES,
    Attributes,
    AttributeTable,
    Detector,
    attribute_table,
    attributes_of,
)
from deeptroubles.network import LOGITS, open_network, unit_layers
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

MAX_IMAGES = 2000
MAX_NAMED = 5
"""Attributes that a caveat names."""
TOP = 9
MAX_ROWS = 30
LIMITS = Limits(
    "the highest AUROC of a unit for an attribute that is not a label, among images of the same class (for all units "
    "and attributes together)",
    warn_at=0.80,
    fail_at=0.95,
    note=f"Also inconclusive where no attribute occurs in {MIN_OCCURRENCES} images and is absent from "
    f"{MIN_OCCURRENCES}, in classes in which both occur. That units detect classes is expected and not judged. The "
    "thresholds are conventions.",
    show=str,
)


@dataclass(frozen=True, kw_only=True)
class LabelDetectors:
    """Which units detect which attributes. The units are those of one layer, followed by the logits."""

    images: int
    layer: str
    features: int
    class_names: tuple[str, ...]
    attributes: Attributes
    table: AttributeTable | None
    strongest: ImageGrid | None

    @property
    def detectors(self) -> list[Detector]:
        """For each attribute that is not a label, the unit that detects it best within classes; the best first."""
        if self.table is None:
            return []
        chosen = np.flatnonzero(~self.attributes.is_label & self.table.enough_within)
        return sorted(
            (self.table.best_unit(int(attribute), within=True) for attribute in chosen), key=lambda d: -d.within.low
        )

    @property
    def strongest_detection(self) -> Interval:
        """The highest AUROC within classes of all units and attributes; the intervals hold together."""
        if self.table is None or not self.detectors:
            return Interval(float("nan"), 0.0, 1.0)
        chosen = ~self.attributes.is_label & self.table.enough_within
        ends = (self.table.within.value, *self.table.within_ends)
        return Interval(*(float(end[:, chosen].max()) for end in ends))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        detectors, strongest = self.detectors, self.strongest_detection
        units = self.features + len(self.class_names)
        verdict = LIMITS.verdict(strongest, self.images if detectors else 0)
        yield Finding(
            check="units.label_detectors",
            verdict=verdict,
            severity=strongest.value if detectors else 0.0,
            claim=f"{self._claim(verdict)}{self._labels()}.",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                "Detecting is not relying: the checks reliance.* test whether predictions depend on an attribute.",
                *self._left_out(),
                f"For each attribute the best of {units} units is shown; the intervals hold for all of them together.",
            ],
        )

    def _claim(self, verdict: Verdict) -> str:
        if not self.detectors:
            return (
                "Inconclusive for attributes other than the label: no other column has a value that occurs in "
                f"{MIN_OCCURRENCES} images and is absent from {MIN_OCCURRENCES}, in classes in which both occur"
            )
        best = self.detectors[0]
        attribute, unit = self.attributes.names[best.attribute], self._unit(best.unit)
        is_one = verdict in {Verdict.FAIL, Verdict.WARN}
        what = f"{_capital(unit)} detects {attribute!r}" if is_one else f"The best detector of {attribute!r} is {unit}"
        return f"{what}: it is more active with it in {percent_interval(best.within)} of image pairs of the same class"

    def _labels(self) -> str:
        classes = self._classes()
        known = sum(d.overall.low > LIMITS.warn_at for d in classes)
        return f"; {known} of {len(classes)} classes have a detector in layer {self.layer}" if classes else ""

    def _unit(self, unit: int) -> str:
        if unit < self.features:
            return f"unit {unit} of layer {self.layer}"
        return f"the logit of {self.class_names[unit - self.features]}"

    def _classes(self) -> list[Detector]:
        """The unit that detects each class best; the best first."""
        if self.table is None:
            return []
        low = self.table.overall_ends[0][: self.features or None]
        chosen = np.flatnonzero(self.attributes.is_label & self.attributes.enough)
        best = [self.table.detector(int(low[:, attribute].argmax()), int(attribute)) for attribute in chosen]
        return sorted(best, key=lambda d: -d.overall.low)

    def _left_out(self) -> list[str]:
        attributes, enough = self.attributes, self.attributes.enough
        within = self.table.enough_within if self.table else np.zeros_like(enough)
        groups = (
            (~enough, f"present in or absent from fewer than {MIN_OCCURRENCES} images"),
            (enough & ~within & ~attributes.is_label, "not separable from the class on these images"),
        )
        caveats = []
        for chosen, why in groups:
            names = [attributes.names[i] for i in np.flatnonzero(chosen)]
            if names:
                caveats.append(f"Left out, because {why}: {listed(names, most=MAX_NAMED)}.")
        return caveats

    def _evidence(self) -> list[Evidence]:
        found: list[Evidence] = []
        if detectors := self.detectors:
            best = detectors[0]
            title = (
                f"{_capital(self._unit(best.unit))}: AUROC for {self.attributes.names[best.attribute]!r} within classes"
            )
            found.append(LIMITS.estimate(title, best.within, self.images))
            found += [self.strongest] if self.strongest else []
            found.append(self._table("Attributes other than the label, and the unit that detects each best", detectors))
        if classes := self._classes():
            found.append(self._table(f"Classes, and the unit of layer {self.layer} that detects each best", classes))
        return found

    def _table(self, title: str, detectors: Sequence[Detector]) -> Table:
        shown = f" (the best {MAX_ROWS} of {len(detectors)})" if len(detectors) > MAX_ROWS else ""
        columns = [Column(name="attribute"), Column(name="unit")]
        for pairs in ("within classes", "overall"):
            columns += [Column(name=f"AUROC {pairs}", kind="number"), Column(name="95% CI", kind="interval")]
        columns += [Column(name=f"in its {TOP} top images", kind="share"), Column(name="in all images", kind="share")]
        return Table(title=title + shown, columns=columns, rows=[self._row(d) for d in detectors[:MAX_ROWS]])

    def _row(self, found: Detector) -> list[Cell]:
        cells: list[Cell] = [self.attributes.names[found.attribute], self._unit(found.unit)]
        for area in (found.within, found.overall):
            has_pairs = not np.isnan(area.value)  # within a class, all images have its label
            cells += [round(area.value, 3), [round(area.low, 3), round(area.high, 3)]] if has_pairs else [None, None]
        return [*cells, round(found.purity, 3), round(float(self.attributes.base_rate[found.attribute]), 3)]


@check("units.label_detectors", needs=[LABELS])
def label_detectors(recording: Recording, engine: Engine, *, seed: int) -> LabelDetectors:
    """Are there units that detect a label, or an attribute that should not matter?

    What it asks:
        The network sees up to 2,000 images. How well does the activation of each unit (of the last layer before the
        logits, and of the logits) separate images with an attribute from those without? Attributes are the classes, and
        the values of every other column that came with the images, such as source, device, or hospital.

    Why it matters:
        Training makes units detect classes. A unit that detects a tag, a scanner or a photographer shows that the
        network computes it, so predictions can come to depend on it.

    How to read it:
        The AUROC is the share of pairs of images, one with the attribute and one without, in which the unit is more
        active for the one with it: 0.5 is chance, 1 is always. An attribute that correlates with a class is detected by
        any detector of the class, so attributes are judged on pairs of images of the same class. The examples are the
        images that activate the unit most.

    Limits:
        Detecting is not relying: a unit can detect what predictions do not use. Within a class an attribute can
        correlate with something else, which may be what the unit detects. Only single units are tested, not
        combinations, and only the most active position of each.

    References:
        D. Bau et al., Network dissection: quantifying interpretability of deep visual representations, CVPR 2017.

        J. A. Hanley, B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 1982.

        R. G. Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
        Statistics in Medicine 2006.
    """
    subject, rows = recording.subject, np.arange(len(recording.logits))
    if len(rows) > MAX_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MAX_IMAGES, replace=False))
        subject = subject.subset(rows)
    attributes = attributes_of(subject, range(len(rows)))
    names = subject.classifier.class_names
    if not attributes.enough.any():  # no unit can be tested
        return LabelDetectors(
            images=len(rows),
            layer=LOGITS,
            features=0,
            class_names=names,
            attributes=attributes,
            table=None,
            strongest=None,
        )
    layer = _feature_layer(subject)
    features = np.zeros((len(rows), 0), dtype=np.float32)
    if layer != LOGITS:
        features = index_units(subject, engine, [layer], samples=1, keep=len(rows), seed=seed).layers[layer].values
    values = np.concatenate([features, recording.logits[rows]], axis=1)
    table = attribute_table(values, attributes, subject.targets, top=TOP)
    result = LabelDetectors(
        images=len(rows),
        layer=layer,
        features=features.shape[1],
        class_names=names,
        attributes=attributes,
        table=table,
        strongest=None,
    )
    if not result.detectors:
        return result
    best = result.detectors[0]
    order = np.argsort(-values[:, best.unit], kind="stable")[:TOP]
    return replace(result, strongest=_strongest(subject, attributes, best, order, rows))


def _feature_layer(subject: Subject) -> str:
    """The last layer with units that is not one number per class."""
    shape = (subject.classifier.classes,)
    features = [layer.name for layer in unit_layers(open_network(subject.classifier)) if layer.shape != shape]
    return features[-1] if features else LOGITS


def _strongest(
    subject: Subject, attributes: Attributes, best: Detector, order: NDArray[np.int64], rows: NDArray[np.int64]
) -> ImageGrid:
    """The images that activate a unit most; `rows` are those of the recording that the subject holds."""
    attribute, items = attributes.names[best.attribute], []
    for i in order.tolist():
        label = subject.images.labels[i] or "no label"
        known, carried = attributes.known[i, best.attribute], attributes.present[i, best.attribute]
        note = (attribute if carried else f"not {attribute}") if known else "unknown"
        shown = picture(subject.pixels([i])[0].cpu().numpy(), f"An image of {label}, {note}", int(rows[i]))
        items.append(GridItem(picture=shown, caption=label, note=note))
    base_rate = percent(float(attributes.base_rate[best.attribute]))
    share = f"{percent(best.purity)} have {attribute!r} ({base_rate} of all images)"
    return ImageGrid(title=f"The images that activate the unit most: {share}", items=items)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
