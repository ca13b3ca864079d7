"""The two halves of the images: one to fit on, one to measure on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.wording import plural
from deeptroubles.errors import ImagesError
from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.fairness.gaps import Gap, class_gaps, rate_gap
from deeptroubles.methods.fairness.groupings import one_column
from deeptroubles.recording import Recording
from deeptroubles.statistics.balanced_accuracy import cell_counts

Labels = NDArray[np.int64]

SHUFFLES = 999


@dataclass(frozen=True)
class Halves:
    """Images of large enough groups in two halves: `fitted` rows are learned from, `held_out` rows are measured on."""

    targets: Labels
    predicted: Labels
    groups: Labels
    names: tuple[str, ...]
    classes: tuple[str, ...]
    fitted: Labels
    held_out: Labels
    seed: int

    def gaps(self, predicted: Labels) -> list[Gap]:
        """The gaps on the held-out half: in accuracy, and in the true-positive rate of each class."""
        truth, groups = self.targets[self.held_out], self.groups[self.held_out]
        held_out = predicted[self.held_out]
        present = {int(k): self.classes[k] for k in np.unique(truth)}
        overall = rate_gap("accuracy", held_out == truth, groups, seed=self.seed, shuffles=SHUFFLES)
        by_class = class_gaps(truth, held_out, groups, present, seed=self.seed, shuffles=SHUFFLES)
        return [gap for gap in (overall, *by_class) if gap and not gap.measure.startswith("false")]


def halves(recording: Recording, group: str, seed: int) -> tuple[Labels, Halves, list[str]]:
    """The labelled images of large enough groups, each class of each group in two halves. Raises ImagesError."""
    labelled = recording.labelled
    grouping = one_column(recording.subject.images.table.iloc[labelled], group)
    large = np.flatnonzero(grouping.sizes() >= 2 * MIN_GROUP)
    if len(large) < 2:
        raise ImagesError(
            f"Fewer than two groups of {group} have {2 * MIN_GROUP} labelled images or more; half of the images are "
            f"for fitting and half for measuring, which needs {MIN_GROUP} of a group."
        )
    inside = np.isin(grouping.codes, large)
    rows, groups = labelled[inside], np.searchsorted(large, grouping.codes[inside])
    targets = recording.targets[rows]
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    # Every other image of each group, class by class, so that both halves of a group have the same size.
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
            f"{plural(left, 'labelled image')} without a value of {group}, or in groups with fewer than "
            f"{2 * MIN_GROUP} images, not used."
        )
    present = np.unique(targets)
    empty = cell_counts(groups, np.searchsorted(present, targets)) == 0
    if empty.any():
        g, k = np.argwhere(empty)[0]
        notes.append(
            f"{int(empty.sum())} of {empty.size} pairs of group and class have no image (such as "
            f"{data.classes[present[k]]} in {names[g]}); no weight can compensate for that."
        )
    return rows, data, notes
