"""A cue that is a column of the manifest: how far answers to images of one class differ between its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.reliance.cue.associated_class import own_classes, spoken_for
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.findings import Cell, Column, Estimate, Finding, Table, Verdict
from deeptroubles.methods.transforms.shared.named_cue import NamedCue
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, wilson

WARN_AT, FAIL_AT = 0.05, 0.20
FEWEST = 5
"""A value is looked at when it has so many images whose class also occurs with other values."""
MANY = 12
"""Numbers with more different values than this are cut at their median."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """What one value of the column does to the answers.

    Attributes:
        name: The value.
        spoken_for: The class whose probability it raises most in images of other classes.
        rise: By how much, beyond images of the same class with other values; one number per image.
        right: How many of its labelled images are answered rightly, with interval; and how many there are.
        images: How many images have it.
    """

    name: str
    spoken_for: str
    rise: NDArray[np.float64]
    right: Interval
    images: int


@dataclass(frozen=True, kw_only=True)
class ColumnCue:
    """How far the answers hang on a column at a fixed class.

    Attributes:
        cue: The column.
        values: Those that can be compared.
        different: How many values the column has.
        apart: How many images tell nothing, because their class has one value only.
        images: How many there are.
    """

    cue: NamedCue
    values: tuple[Value, ...]
    different: int
    apart: int
    images: int

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.values:
            yield Finding(
                check="reliance.cue",
                verdict=Verdict.INCONCLUSIVE,
                claim=f"{self.cue.words.capitalize()} cannot be told from the class: {self._too_few()}.",
                criterion=_RULE,
                caveats=["Give images of the same class with different values."],
            )
            return
        worst = max(self.values, key=lambda v: (mean_difference(v.rise).low, v.name))
        effect = mean_difference(worst.rise)
        columns = [
            Column(name=self.cue.content),
            Column(name="images", kind="number"),
            Column(name="right", kind="share"),
            Column(name="95 % interval", kind="interval"),
            Column(name="speaks for"),
            Column(name="rise at a fixed class", kind="share"),
            Column(name="interval of the rise", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        for value in sorted(self.values, key=lambda v: (-float(np.mean(v.rise)), v.name)):
            rise = mean_difference(value.rise)
            right: list[Cell] = (
                [None, None]
                if np.isnan(value.right.value)
                else [value.right.value, [value.right.low, value.right.high]]
            )
            rows.append([value.name, value.images, *right, value.spoken_for, rise.value, [rise.low, rise.high]])
        # The largest of several values was looked for: its interval is widened so that all hold together.
        judged = mean_difference(worst.rise, 1 - 0.05 / len(self.values))
        yield Finding(
            check="reliance.cue",
            verdict=judge(judged, len(worst.rise), warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=max(0.0, effect.value),
            claim=f"{self.cue.words.capitalize()}: among images of the same class, those with “{worst.name}” are given "
            f"{percent_interval(effect)} more probability of “{worst.spoken_for}” than those with another value.",
            criterion=_RULE,
            evidence=[
                Estimate(
                    label=f"What “{worst.name}” adds to {worst.spoken_for}, at a fixed class",
                    value=effect.value,
                    low=effect.low,
                    high=effect.high,
                    n=len(worst.rise),
                    warn_at=WARN_AT,
                    fail_at=FAIL_AT,
                ),
                Table(title=f"Answers by {self.cue.content}", columns=columns, rows=rows),
            ],
            caveats=[
                *few(len(worst.rise)),
                f"{percent(self.apart / self.images)} of the images tell nothing: their class has one value only.",
                "Nothing was put in or taken out: whatever else comes with a value counts as its effect.",
            ],
        )

    def _too_few(self) -> str:
        if self.different < 2:
            return "all images that have a value have the same" if self.different else "no image has a value"
        return f"none of its {self.different} values has {FEWEST} images of a class that also occurs with another value"


_RULE = (
    criterion(
        "what one value of the column adds to the probability of the class that it speaks for, at a fixed class,",
        warn_at=WARN_AT,
        fail_at=FAIL_AT,
    )
    + " With several values the interval is widened (Bonferroni)."
)


def column_cue(recording: Recording, cue: NamedCue, seed: int) -> ColumnCue:
    """Compare answers to images of the same class between the values of a column. Images without a value are left out.

    For each image with a value, its probabilities less the mean of those of images of its class with other values.
    """
    values = _as_text(recording.subject.images.table[cue.content])
    own, names = own_classes(recording), recording.subject.classifier.class_names
    known = values.notna().to_numpy()
    right, found, compared = recording.predicted == recording.targets, [], np.zeros(len(own), dtype=bool)
    for name in sorted(values.dropna().unique()):
        has = known & (values == name).to_numpy()
        others = known & ~has
        rows = np.flatnonzero(has & np.isin(own, own[others]))
        compared[rows] = True
        if len(rows) < FEWEST:
            continue
        means = {k: recording.probabilities[others & (own == k)].mean(0) for k in set(own[rows].tolist())}
        effect = recording.probabilities[rows] - np.stack([means[k] for k in own[rows]])
        spoken, chosen = spoken_for(effect, own[rows], seed, names)
        at = np.flatnonzero(chosen >= 0)
        labelled = has & (recording.targets >= 0)
        if len(at):
            found.append(
                Value(
                    name=name,
                    spoken_for=spoken,
                    rise=effect[at, chosen[at]].round(6),
                    right=wilson(int(right[labelled].sum()), int(labelled.sum())),
                    images=int(has.sum()),
                )
            )
    return ColumnCue(
        cue=cue, values=tuple(found), different=values.nunique(), apart=int((~compared).sum()), images=len(own)
    )


def _as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column's values as text; many different numbers become two halves."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MANY:
        middle = column.median()
        halves = pd.Series(np.where(column > middle, f"above {middle:g}", f"up to {middle:g}"), dtype=object)
        return halves.where(column.notna().to_numpy(), None)
    there = column.notna().to_numpy()
    return pd.Series([str(value) for value in column], dtype=object).where(there, None)
