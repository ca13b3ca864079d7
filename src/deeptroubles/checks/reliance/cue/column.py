"""A cue given by a column of the manifest: how far predictions for images of one class differ between its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.reliance.cue.associated_class import associated_class, own_classes
from deeptroubles.checks.wording import percent, points, points_interval
from deeptroubles.findings import Cell, Column, Finding, Table, Verdict
from deeptroubles.methods.transforms.shared.named_cue import NamedCue
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, wilson

MIN_OF_VALUE = 5
"""Images of a value whose class also occurs with other values; values with fewer are not compared."""
MAX_NUMBERS = 12
"""Columns with more different numbers are divided at their median."""
LIMITS = Limits(
    "the increase in the associated class's probability for one value of the column, among images of the same class,",
    warn_at=0.05,
    fail_at=0.20,
    note="With several values the interval is widened (Bonferroni). The thresholds are conventions.",
    show=points,
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """The effect of one value of the column on predictions.

    Attributes:
        name: The value.
        associated: The class whose probability it increases most in images of other classes.
        rise: That increase, relative to images of the same class with other values; one number per image.
        accuracy: The accuracy on its labelled images.
        images: How many images have it.
    """

    name: str
    associated: str
    rise: NDArray[np.float64]
    accuracy: Interval
    images: int


@dataclass(frozen=True, kw_only=True)
class ColumnCue:
    """How far predictions depend on a column, among images of the same class.

    Attributes:
        cue: The column.
        values: The values that can be compared.
        different: How many values the column has.
        uninformative: How many images have a class with only one value.
        images: How many images there are.
    """

    cue: NamedCue
    values: tuple[Value, ...]
    different: int
    uninformative: int
    images: int

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.values:
            yield Finding(
                check="reliance.cue",
                verdict=Verdict.INCONCLUSIVE,
                claim=f"Inconclusive: {self.cue.words} cannot be separated from the class, because {self._too_few()}.",
                criterion=LIMITS.criterion,
                caveats=["Give images of the same class with different values."],
            )
            return
        worst = max(self.values, key=lambda v: (mean_difference(v.rise).low, v.name))
        # The largest of several values is judged: its interval is widened so that all hold together.
        effect = mean_difference(worst.rise, 1 - 0.05 / len(self.values))
        columns = [
            Column(name=self.cue.content),
            Column(name="images", kind="number"),
            Column(name="accuracy", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="associated class"),
            Column(name="increase within classes", kind="share"),
            Column(name="95% CI", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        for value in sorted(self.values, key=lambda v: (-float(np.mean(v.rise)), v.name)):
            rise = mean_difference(value.rise)
            accuracy: list[Cell] = (
                [None, None]
                if np.isnan(value.accuracy.value)
                else [value.accuracy.value, [value.accuracy.low, value.accuracy.high]]
            )
            rows.append([value.name, value.images, *accuracy, value.associated, rise.value, [rise.low, rise.high]])
        yield Finding(
            check="reliance.cue",
            verdict=LIMITS.verdict(effect, len(worst.rise)),
            severity=max(0.0, effect.value),
            claim=f"Among images of the same class, “{worst.name}” in {self.cue.words} increases the probability of "
            f"“{worst.associated}” by {points_interval(effect)}.",
            criterion=LIMITS.criterion,
            evidence=[
                LIMITS.estimate(
                    f"Increase of {worst.associated} with “{worst.name}”, within classes", effect, len(worst.rise)
                ),
                Table(title=f"Predictions by {self.cue.content}", columns=columns, rows=rows),
            ],
            caveats=[
                *few(len(worst.rise)),
                (
                    f"{percent(self.uninformative / self.images)} of the images are uninformative: their class has "
                    "only one value."
                ),
                "Nothing was inserted or removed: anything that correlates with a value counts as its effect.",
            ],
        )

    def _too_few(self) -> str:
        if self.different < 2:
            return "all images with a value have the same one" if self.different else "no image has a value"
        return f"none of its {self.different} values has {MIN_OF_VALUE} images in a class that also has other values"


def column_cue(recording: Recording, cue: NamedCue, seed: int) -> ColumnCue:
    """Compare predictions for images of the same class between the values of a column; images need a value.

    For each image with a value, its probabilities less the mean of those of images of its class with other values.
    """
    values = _as_text(recording.subject.images.table[cue.content])
    own, names = own_classes(recording), recording.subject.classifier.class_names
    known = values.notna().to_numpy()
    correct, found, compared = recording.predicted == recording.targets, [], np.zeros(len(own), dtype=bool)
    for name in sorted(values.dropna().unique()):
        has = known & (values == name).to_numpy()
        others = known & ~has
        rows = np.flatnonzero(has & np.isin(own, own[others]))
        compared[rows] = True
        if len(rows) < MIN_OF_VALUE:
            continue
        means = {k: recording.probabilities[others & (own == k)].mean(0) for k in set(own[rows].tolist())}
        effect = recording.probabilities[rows] - np.stack([means[k] for k in own[rows]])
        associated, chosen = associated_class(effect, own[rows], seed, names)
        at = np.flatnonzero(chosen >= 0)
        labelled = has & (recording.targets >= 0)
        if len(at):
            found.append(
                Value(
                    name=name,
                    associated=associated,
                    rise=effect[at, chosen[at]].round(6),
                    accuracy=wilson(int(correct[labelled].sum()), int(labelled.sum())),
                    images=int(has.sum()),
                )
            )
    return ColumnCue(
        cue=cue, values=tuple(found), different=values.nunique(), uninformative=int((~compared).sum()), images=len(own)
    )


def _as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column's values as text; many different numbers become two halves."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MAX_NUMBERS:
        middle = column.median()
        halves = pd.Series(np.where(column > middle, f"above {middle:g}", f"up to {middle:g}"), dtype=object)
        return halves.where(column.notna().to_numpy(), None)
    there = column.notna().to_numpy()
    return pd.Series([str(value) for value in column], dtype=object).where(there, None)
