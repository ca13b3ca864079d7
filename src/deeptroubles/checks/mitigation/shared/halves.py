"""The two halves of the images: one to fit on, one to show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.errors import ImagesError
from deeptroubles.findings import Estimate
from deeptroubles.methods.fairness.by_group import FLOOR
from deeptroubles.methods.fairness.gaps import Gap, class_gaps, rate_gap
from deeptroubles.methods.fairness.groupings import one_column
from deeptroubles.recording import Recording
from deeptroubles.statistics.balanced_accuracy import cell_counts
from deeptroubles.statistics.intervals import Interval

Labels = NDArray[np.int64]

SHUFFLES = 999


@dataclass(frozen=True)
class Halves:
    """Images of large enough groups in two halves: rows of `fitted` are learned from, those of `shown` are shown."""

    targets: Labels
    predicted: Labels
    groups: Labels
    names: tuple[str, ...]
    classes: tuple[str, ...]
    fitted: Labels
    shown: Labels
    seed: int

    def gaps(self, answers: Labels) -> list[Gap]:
        """The gaps on the shown half: in accuracy, and in the true-positive rate of each class."""
        truth, groups = self.targets[self.shown], self.groups[self.shown]
        given = answers[self.shown]
        present = {int(k): self.classes[k] for k in np.unique(truth)}
        overall = rate_gap("accuracy", given == truth, groups, seed=self.seed, shuffles=SHUFFLES)
        by_class = class_gaps(truth, given, groups, present, seed=self.seed, shuffles=SHUFFLES)
        return [gap for gap in (overall, *by_class) if gap and not gap.measure.startswith("false")]


def halves(recording: Recording, group: str, seed: int) -> tuple[Labels, Halves, list[str]]:
    """The labelled images of groups that are large enough, each class of each group in two halves."""
    labelled = recording.labelled
    grouping = one_column(recording.subject.images.table.iloc[labelled], group)
    large = np.flatnonzero(grouping.sizes() >= 2 * FLOOR)
    if len(large) < 2:
        raise ImagesError(
            f"Fewer than two groups of {group} have {2 * FLOOR} labelled images or more; half of the images are for "
            f"fitting and half for showing, and {FLOOR} is the least to say anything of a group."
        )
    inside = np.isin(grouping.codes, large)
    rows, groups = labelled[inside], np.searchsorted(large, grouping.codes[inside])
    targets = recording.targets[rows]
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    # Every other image of each group, class by class: both halves of a group are as large as they can be.
    shuffled = shuffled[np.lexsort((targets[shuffled], groups[shuffled]))]
    first = pd.Series(groups[shuffled]).groupby(groups[shuffled]).cumcount().to_numpy() % 2 == 0
    names = tuple(grouping.names[k] for k in large)
    data = Halves(
        targets,
        recording.predicted[rows],
        groups,
        names,
        recording.subject.classifier.class_names,
        np.sort(shuffled[first]),
        np.sort(shuffled[~first]),
        seed,
    )
    left, notes = int((~inside).sum()), list[str]()
    if left:
        notes.append(
            f"{left} labelled image{'s' if left > 1 else ''} without a value of {group}, or of groups below "
            f"{2 * FLOOR} images, left out."
        )
    present = np.unique(targets)
    empty = cell_counts(groups, np.searchsorted(present, targets)) == 0
    if empty.any():
        g, k = np.argwhere(empty)[0]
        notes.append(
            f"{int(empty.sum())} of {empty.size} pairs of group and class have no image (such as "
            f"{data.classes[present[k]]} in {names[g]}), and no weight can make up for that."
        )
    return rows, data, notes


def cost_bar(cost: Interval, count: int, label: str) -> Estimate:
    """A bar of the accuracy that something costs."""
    return Estimate(label=label, value=cost.value, low=cost.low, high=cost.high, n=count)
