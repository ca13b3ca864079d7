"""Try what may close gaps between groups: the checks of mitigation, with the layers and thresholds they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.mitigation.shared.result import Mitigated
from deeptroubles.checks.registry import chosen_checks
from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.engine import LocalEngine, MakeEngine
from deeptroubles.errors import UsageError
from deeptroubles.findings import Audit
from deeptroubles.images import ImageSet
from deeptroubles.methods.mitigation.last_layer import Head
from deeptroubles.run.folder import RunFolder
from deeptroubles.workflows.audit import run_checks


@dataclass(frozen=True, repr=False)
class Mitigation(Brief):
    """What was tried, and its effect.

    Attributes:
        audit: The findings, as those of an audit.
        heads: Retrained last layers by name: `refitted` (the control), `reweighed`, `balanced`. They take the features
            before the last layer; `with_head` puts one into a copy of the classifier.
        thresholds: The threshold of each group, by strategy.
        targets: The true class of each image of the held-out half.
        groups: The group of each of them, as an index into `names`.
        names: The names of the groups.
        predicted: The predicted class of each of them: `unchanged`, and by each layer and strategy; -1: not the class
            that thresholds are for.
    """

    audit: Audit
    heads: Mapping[str, Head]
    thresholds: Mapping[str, Mapping[str, float]]
    targets: NDArray[np.int64]
    groups: NDArray[np.int64]
    names: tuple[str, ...]
    predicted: Mapping[str, NDArray[np.int64]]


def mitigate(
    classifier: Classifier,
    images: ImageSet,
    group: str,
    out: Path | str | None = None,
    *,
    positive: str | None = None,
    cost_ratio: float | str | None = None,
    threshold: Mapping[str, float] | Sequence[str] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    engine: MakeEngine = LocalEngine,
    command: str = "",
) -> Mitigation:
    """Try what may close gaps between groups, and measure it on images that it was not fitted on.

    Args:
        classifier: The classifier. It stays unchanged.
        images: Labelled images with a column of groups.
        group: That column.
        out: Folder for the run. Default: nothing is kept.
        positive: The class that thresholds are chosen for, against the rest. Default: no thresholds.
        cost_ratio: What a false positive costs if a false negative costs 1, above 0. Default: 1.
        threshold: Thresholds of your own on the probability of the class, by group, or as "GROUP=NUMBER".
        seed: Seed of the halves and of everything else random.
        batch_size: How many images are shown at once.
        engine: Makes what does the work. Default: this process does.
        command: What to say in the report about how it was made.

    Raises:
        UsageError: There is no such column, class or group, or the cost ratio is not above 0.
        ImagesError: Fewer than two groups have 60 labelled images (30 in each half).
        RunFolderError: The folder holds another run, or cannot be written.
    """
    if threshold and positive is None:
        raise UsageError("Thresholds are for one class against the rest; name it with --positive.")
    planned = [c for c in chosen_checks(["mitigation"]) if positive is not None or c.name != "mitigation.thresholds"]
    options = {"group": group, "positive": positive, "cost_ratio": cost_ratio, "threshold": threshold}
    checked = run_checks(
        planned,
        classifier,
        images,
        out,
        options,
        seed=seed,
        batch_size=batch_size,
        engine=engine,
        command=command,
        mitigation=group,
    )
    results = cast("Sequence[Mitigated]", [checked.results[c.name] for c in planned if c.name in checked.results])
    for result in results:
        if isinstance(result.problem, UsageError) or (result.problem and not any(r.found for r in results)):
            raise result.problem
    heads = {name: head for result in results for name, head in result.heads.items()}
    thresholds = {name: cuts for result in results for name, cuts in result.thresholds.items()}
    if checked.folder:
        _keep(checked.folder, heads, thresholds, classifier.class_names)
    predicted = {name: labels for result in results for name, labels in result.predicted.items()}
    # All results have the same halves, because the halves depend on the images, the group and the seed alone.
    data = next(result.data for result in results if result.data)
    held_out = data.held_out
    return Mitigation(
        checked.audit, heads, thresholds, data.targets[held_out], data.groups[held_out], data.names, predicted
    )


def _keep(
    folder: RunFolder, heads: Mapping[str, Head], thresholds: Mapping[str, Mapping[str, float]], classes: Sequence[str]
) -> None:
    """Write the layers and thresholds as tables."""
    for name, head in heads.items():
        weights = {f"weight_{i}": column for i, column in enumerate(head.weight.T)}
        folder.write_table(f"head_{name}", pd.DataFrame({"class": list(classes), "bias": head.bias, **weights}))
    if thresholds:
        rows = [(strategy, group, value) for strategy, by in thresholds.items() for group, value in by.items()]
        folder.write_table("thresholds", pd.DataFrame(rows, columns=["strategy", "group", "threshold"]))
