"""fairness.leakage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.options import GROUP, LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, Table, Verdict
from deeptroubles.methods.fairness.by_group import FLOOR
from deeptroubles.methods.fairness.groupings import one_column
from deeptroubles.methods.fairness.leakage import Leak, amplification, label_leak, probe
from deeptroubles.network import open_network
from deeptroubles.network.head import features_before_the_last_layer
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.10, 0.25
MOST_IMAGES = 2000
THUMBNAIL = 8
"""Thumbnails are of so many pixels a side."""


@dataclass(frozen=True, kw_only=True)
class ColumnLeak:
    """What gives the groups of one column away.

    Attributes:
        name: The column.
        groups: The names of the groups that are told apart.
        images: How many images they have.
        leaks: How well the group is told, by what it is told from.
        amplified: How much more the answers tell than labels of the same accuracy do.
        degraded: What those labels tell.
    """

    name: str
    groups: tuple[str, ...]
    images: int
    leaks: dict[str, Leak]
    amplified: Interval
    degraded: float


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What gives groups away, the column that the answers amplify most first."""

    columns: tuple[ColumnLeak, ...]
    notes: tuple[str, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        rule = (
            criterion(
                "what answers tell of the group beyond labels of the same accuracy", warn_at=WARN_AT, fail_at=FAIL_AT
            )
            + " The scale goes from guessing (0) to always right (100 %); the thresholds are our convention. Groups of "
            f"fewer than {FLOOR} images are left out. With several columns the intervals hold together (Bonferroni)."
        )
        if not self.columns:
            yield Finding(
                check="fairness.leakage",
                verdict=Verdict.INCONCLUSIVE,
                claim=f"Nothing can be said: no column has two groups of {FLOOR} labelled images or more.",
                criterion=rule,
                caveats=self.notes,
            )
            return
        first = self.columns[0]
        strongest = Interval(*(max(ends) for ends in zip(*(c.amplified for c in self.columns), strict=True)))
        answers, labels = first.leaks["answers"].strength, first.leaks["labels"].strength
        yield Finding(
            check="fairness.leakage",
            verdict=judge(strongest, first.images, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=float(np.clip(strongest.low, 0, 1)),
            claim=f"The answers tell the {first.name} {percent(answers.value)} of the way from guessing to always "
            f"right, labels of the same accuracy {percent(max(0.0, first.degraded))} (the labels themselves "
            f"{percent(labels.value)}): {percent_interval(first.amplified)} more.",
            criterion=rule,
            evidence=self._evidence(),
            caveats=[
                *few(first.images),
                *self.notes,
                "The probes are linear: what they do not find can still be there.",
                "Only what answers add to labels is judged: that a group can be told is no harm in itself.",
                "Groups are those that were given; this is no tool to guess a person's attributes.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        found: list[Evidence] = [
            Estimate(
                label=f"What answers tell of the {c.name} beyond labels of the same accuracy",
                value=c.amplified.value,
                low=c.amplified.low,
                high=c.amplified.high,
                n=c.images,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            for c in self.columns
        ]
        names = [
            Column(name="group"),
            Column(name="told from"),
            Column(name="told", kind="share"),
            Column(name="95 %", kind="interval"),
            Column(name="shuffled reach", kind="share"),
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
        title = "What the group can be told from: 0 % is guessing, 100 % always right; shuffled groups reach as much"
        return [*found, Table(title=title, columns=names, rows=rows)]


@check("fairness.leakage", needs=[LABELS, GROUP])
def leakage(recording: Recording, engine: Engine, *, seed: int) -> Leakage:
    """Do its answers give the group away?

    What it asks:
        For each column that was named with --group: how well can the group be told from thumbnails of 8 x 8 pixels,
        from the features before the last layer, from the logits, from the answers alone, and from the labels alone?
        And do the answers tell more of it than labels of the same accuracy would (labels of which as many were
        replaced at random as the classifier gets wrong)?

    Why it matters:
        Where answers tell more of a group than the truth does, the classifier adds a link between group and class that
        is not in the data. Features that hold the group show what it could use.

    How to read it:
        0 is guessing and 100 % always right, with groups counting alike. Probes are fitted on four fifths of the
        images and tested on the rest, in turns; the same probe is fitted to shuffled groups as a control. "Labels" is
        the dataset leakage and "answers" and "logits" the model leakage of Wang et al.; the difference between answers
        and degraded labels is the amplification, which is judged.

    Limits:
        A linear probe finds only what lies open. Logits are numbers and tell more than any one answer; they are shown
        and not judged. Groups are those that were given: nothing here guesses a person's attributes, and a probe for
        a group should not be used to do so. At most 2,000 images, drawn at random, are looked at.

    References:
        T. Wang et al., Balanced datasets are not enough, ICCV 2019.

        A. Wang, O. Russakovsky, Directional bias amplification, ICML 2021.

        J. Hewitt, P. Liang, Designing and interpreting probes with control tasks, EMNLP 2019.
    """
    rows = recording.labelled
    if len(rows) > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_IMAGES, replace=False))
    seen = dict[str, NDArray[np.float64]]()
    found, notes = list[ColumnLeak](), list[str]()
    columns = GROUP.of(recording) or ()
    for name in columns:
        grouping = one_column(recording.subject.images.table.iloc[rows], name)
        kept = np.flatnonzero(grouping.sizes() >= FLOOR)
        if len(kept) < 2:
            notes.append(f"The column {name} has no two groups of {FLOOR} images or more, so nothing is said of it.")
            continue
        seen = seen or _seen(recording, engine, rows)
        inside = np.isin(grouping.codes, kept)
        groups = np.searchsorted(kept, grouping.codes[inside])
        predicted, targets = recording.predicted[rows][inside], recording.targets[rows][inside]
        leaks = {source: probe(values[inside], groups, seed=seed) for source, values in seen.items()}
        leaks["answers"] = label_leak(predicted, groups, seed=seed)
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
                f"{left} image{'s' if left > 1 else ''} without a value of {name}, or of groups below {FLOOR} "
                "images, left out."
            )
    if seen and "features" not in seen:
        notes.append("The logits are not the answer of a linear layer, so there are no features before it to probe.")
    order = sorted(found, key=lambda c: (-c.amplified.low, c.name))
    return Leakage(columns=tuple(order), notes=tuple(notes))


def _seen(recording: Recording, engine: Engine, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """What the group may be told from, N x D each, in the order in which a classifier computes it."""
    found = engine.map(read_features, recording.subject, rows, task="Reading features", chunk=64)
    everything = {**found, "logits": recording.logits[rows]}
    return {name: values.astype(np.float64) for name, values in everything.items() if values.shape[1]}


def read_features(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    """Thumbnails of the pixels, and the features before the last layer (N x 0 where there are none)."""
    network = open_network(subject.classifier)
    thumbnails, features = [], []
    for start in range(0, len(indices), batch_size):
        pixels = subject.pixels(indices[start : start + batch_size])
        small = functional.adaptive_avg_pool2d(pixels, THUMBNAIL).flatten(1)
        before = features_before_the_last_layer(network, pixels)
        thumbnails.append(small.cpu().numpy())
        features.append(np.zeros((len(pixels), 0), np.float32) if before is None else before.float().cpu().numpy())
    return {"thumbnails": np.concatenate(thumbnails), "features": np.concatenate(features)}
