"""fairness.leakage: do predictions reveal group membership?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import GROUP, LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, plural, points, points_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table, Verdict
from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.fairness.groupings import one_column
from deeptroubles.methods.fairness.leakage import Leak, amplification, label_leak, probe
from deeptroubles.network import open_network, penultimate_features
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

LIMITS = Limits(
    "the score (0: chance, 100%: perfect) with which predictions reveal the group, minus that of labels of the same "
    "accuracy,",
    warn_at=0.10,
    fail_at=0.25,
    note=f"Groups with fewer than {MIN_GROUP} images are left out. With several columns the intervals hold together "
    "(Bonferroni). The thresholds are conventions.",
    show=points,
)
MAX_IMAGES = 2000
THUMBNAIL = 8
"""Pixels along a side of a thumbnail."""


@dataclass(frozen=True, kw_only=True)
class ColumnLeak:
    """How well the groups of one column can be predicted.

    Attributes:
        name: The column.
        groups: The names of the groups.
        images: How many images they have.
        leaks: How well the group is predicted, by the source.
        amplified: The score of predictions minus that of labels of the same accuracy.
        degraded: The score of those labels.
    """

    name: str
    groups: tuple[str, ...]
    images: int
    leaks: dict[str, Leak]
    amplified: Interval
    degraded: float


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What reveals groups; the column that predictions amplify most comes first."""

    columns: tuple[ColumnLeak, ...]
    notes: tuple[str, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.columns:
            yield Finding(
                check="fairness.leakage",
                verdict=Verdict.INCONCLUSIVE,
                claim=f"Inconclusive: no column has two groups with {MIN_GROUP} labelled images or more.",
                criterion=LIMITS.criterion,
                caveats=self.notes,
            )
            return
        first = self.columns[0]
        strongest = Interval(*(max(ends) for ends in zip(*(c.amplified for c in self.columns), strict=True)))
        predictions = first.leaks["predictions"].strength
        yield Finding(
            check="fairness.leakage",
            verdict=LIMITS.verdict(strongest, first.images),
            severity=float(np.clip(strongest.low, 0, 1)),
            claim=f"Predictions reveal the {first.name} with a score of {percent(predictions.value)} (0: chance, 100%: "
            f"perfect), and labels of the same accuracy with {percent(first.degraded)}: a difference of "
            f"{points_interval(first.amplified)}.",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(first.images),
                *self.notes,
                "The probes are linear: information that they do not find can still be present.",
                "Only what predictions add to labels is judged: a predictable group is not a problem in itself.",
                "Groups are those that were given; do not use this to guess a person's attributes.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        found: list[Evidence] = [
            LIMITS.estimate(
                f"Score of predictions for {c.name}, minus labels of the same accuracy", c.amplified, c.images
            )
            for c in self.columns
        ]
        names = [
            Column(name="group"),
            Column(name="predicted from"),
            Column(name="score", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="score of shuffled groups", kind="share"),
            Column(name="balanced accuracy", kind="share"),
            Column(name="p", kind="number"),
        ]
        rows: list[list[Cell]] = []
        for c in self.columns:
            for source, leak in c.leaks.items():
                value, low, high = (round(number, 3) for number in leak.strength)
                rows.append(
                    [
                        c.name,
                        source,
                        value,
                        [low, high],
                        round(leak.control, 3),
                        round(float(leak.recall.mean()), 3),
                        round(leak.p, 3),
                    ]
                )
        title = "How well the group can be predicted (0: chance, 100%: perfect), and the score of shuffled groups"
        return [*found, Table(title=title, columns=names, rows=rows)]


@check("fairness.leakage", needs=[LABELS, GROUP])
def leakage(recording: Recording, engine: Engine, *, seed: int) -> Leakage:
    """Do predictions reveal group membership?

    What it asks:
        For each column given with --group: how well can the group be predicted from thumbnails of 8 x 8 pixels, from
        the features before the last layer, from the logits, from the predictions alone, and from the labels alone? Do
        predictions reveal more than labels of the same accuracy (labels with as many random replacements as the
        classifier makes mistakes)?

    Why it matters:
        If predictions reveal more about a group than the true labels do, the classifier adds a link between group and
        class that is not in the data. Features that encode the group show what it could use.

    How to read it:
        A score of 0 is chance and 100% is perfect; all groups have the same weight. Probes are fitted on four fifths of
        the images and tested on the rest (cross-validation); the same probe is fitted to shuffled groups as a control.
        "Labels" is the dataset leakage, "predictions" and "logits" the model leakage of Wang et al.; the difference
        between predictions and degraded labels is the amplification, which is judged.

    Limits:
        A linear probe finds only linearly encoded information. Logits contain more than the prediction; they are shown
        and not judged. Groups are those that were given: nothing here guesses a person's attributes, and a probe for a
        group should not be used to do so. At most 2,000 images, drawn at random, are used.

    References:
        T. Wang et al., Balanced datasets are not enough, ICCV 2019.

        A. Wang, O. Russakovsky, Directional bias amplification, ICML 2021.

        J. Hewitt, P. Liang, Designing and interpreting probes with control tasks, EMNLP 2019.
    """
    rows = recording.labelled
    if len(rows) > MAX_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_IMAGES, replace=False))
    seen = dict[str, NDArray[np.float64]]()
    found, notes = list[ColumnLeak](), list[str]()
    columns = GROUP.of(recording) or ()
    for name in columns:
        grouping = one_column(recording.subject.images.table.iloc[rows], name)
        kept = np.flatnonzero(grouping.sizes() >= MIN_GROUP)
        if len(kept) < 2:
            notes.append(f"The column {name} was not used: it has no two groups with {MIN_GROUP} images or more.")
            continue
        seen = seen or _seen(recording, engine, rows)
        inside = np.isin(grouping.codes, kept)
        groups = np.searchsorted(kept, grouping.codes[inside])
        predicted, targets = recording.predicted[rows][inside], recording.targets[rows][inside]
        leaks = {source: probe(values[inside], groups, seed=seed) for source, values in seen.items()}
        leaks["predictions"] = label_leak(predicted, groups, seed=seed)
        leaks["labels"] = label_leak(targets, groups, seed=seed)
        level = 1 - 0.05 / len(columns)
        amplified, degraded = amplification(predicted, targets, groups, level=level, seed=seed)
        found.append(
            ColumnLeak(
                name=name,
                groups=tuple(grouping.names[k] for k in kept),
                images=int(inside.sum()),
                leaks=leaks,
                amplified=amplified,
                degraded=degraded,
            )
        )
        if (~inside).any():
            left = int((~inside).sum())
            notes.append(
                f"{plural(left, 'image')} without a value of {name}, or in groups with fewer than {MIN_GROUP} images, "
                "not used."
            )
    if seen and "features" not in seen:
        notes.append("The logits do not come from a linear layer, so there are no features before it to probe.")
    order = sorted(found, key=lambda c: (-c.amplified.low, c.name))
    return Leakage(columns=tuple(order), notes=tuple(notes))


def _seen(recording: Recording, engine: Engine, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """The sources from which the group is predicted, N x D each, in the order of computation."""
    found = engine.map(read_features, recording.subject, rows, task="Reading features", chunk=64)
    everything = {**found, "logits": recording.logits[rows]}
    return {name: values.astype(np.float64) for name, values in everything.items() if values.shape[1]}


def read_features(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Thumbnails of the pixels, and the features before the last layer (N x 0 where there are none)."""
    network = open_network(subject.classifier)
    thumbnails, features = [], []
    for start in range(0, len(indices), batch_size):
        pixels = subject.pixels(indices[start : start + batch_size])
        small = functional.adaptive_avg_pool2d(pixels, THUMBNAIL).flatten(1)
        before = penultimate_features(network, pixels)
        thumbnails.append(small.cpu().numpy())
        features.append(np.zeros((len(pixels), 0), np.float32) if before is None else before.float().cpu().numpy())
    return {"thumbnails": np.concatenate(thumbnails), "features": np.concatenate(features)}
