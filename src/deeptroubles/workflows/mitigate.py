"""Try what may close gaps between groups, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from deeptroubles.checks.mitigation import guides
from deeptroubles.checks.mitigation.shared.halves import halves
from deeptroubles.checks.mitigation.shared.last_layer import BALANCED, REWEIGHED, last_layers
from deeptroubles.checks.mitigation.thresholds import THRESHOLDS, thresholds_by_group
from deeptroubles.checks.registry import read_guide
from deeptroubles.classifier import Classifier
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UsageError
from deeptroubles.findings import Audit, worst_first
from deeptroubles.images import ImageSet
from deeptroubles.methods.fairness.groupings import fit_groups
from deeptroubles.methods.mitigation.last_layer import Head
from deeptroubles.recording import record
from deeptroubles.run.folder import RunFolder
from deeptroubles.workflows.audit import open_run, without_findings
from deeptroubles.workflows.explain import find_class

_GUIDES = {REWEIGHED: guides.reweighing, BALANCED: guides.balanced, THRESHOLDS: guides.thresholds}


@dataclass(frozen=True)
class Mitigation:
    """What was tried, and what it gave.

    Attributes:
        audit: The findings, as those of an audit.
        heads: Last layers trained anew, by how: `refitted` (the control), `reweighed`, `balanced`. They take the
            features before the last layer; `with_head` puts one into a copy of the classifier.
        thresholds: The threshold of each group, by strategy.
    """

    audit: Audit
    heads: dict[str, Head]
    thresholds: dict[str, dict[str, float]]


def mitigate(
    classifier: Classifier,
    images: ImageSet,
    group: str,
    out: Path | str | None = None,
    *,
    positive: str | None = None,
    cost_ratio: float = 1.0,
    custom: Mapping[str, float] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    command: str = "",
) -> Mitigation:
    """Try what may close gaps between groups, and show what it does to images that it was not fitted on.

    Args:
        classifier: The classifier. It stays as it is.
        images: Labelled images with a column of groups.
        group: That column.
        out: Folder for the run. Default: nothing is kept.
        positive: The class that thresholds are chosen for, against the rest. Default: none are.
        cost_ratio: What a false positive costs when a false negative costs 1, above 0.
        custom: Thresholds of your own on the probability of the class, by group.
        seed: Of the halves and of everything else random.
        batch_size: How many images are shown at once.
        command: What to say in the report about how it was made.

    Raises:
        UsageError: There is no such column, class or group, or the cost ratio is not above 0.
        ImagesError: Fewer than two groups have 60 labelled images (30 in each half).
        RunFolderError: The folder holds another run, or cannot be written.
    """
    started = time.monotonic()
    fit_groups([group], images)
    if not cost_ratio > 0:
        raise UsageError(f"The cost ratio is {cost_ratio:g}; give a number above 0.")
    if custom and positive is None:
        raise UsageError("Thresholds are for one class against the rest; name it with --positive.")
    chosen = None if positive is None else find_class(classifier, positive)
    folder = open_run(out, classifier, images, seed, mitigation=group)
    engine = LocalEngine(folder, batch_size)
    recording = record(classifier, images, engine, {"group": (group,)})
    rows, data, notes = halves(recording, group, seed)
    findings, heads = last_layers(recording, engine, rows, data, group, notes)
    thresholds: dict[str, dict[str, float]] = {}
    if chosen is not None:
        cuts, finding = thresholds_by_group(
            recording.probabilities[rows, chosen], chosen, data, group, cost_ratio, custom or {}
        )
        findings.append(replace(finding, caveats=[*finding.caveats, *notes]))
        thresholds = {name: dict(zip(data.names, map(float, values), strict=True)) for name, values in cuts.items()}
    explained = {f.check: read_guide(f.check, _GUIDES[f.check].__doc__ or "") for f in findings}
    audit = without_findings(classifier, images, recording, explained, command=command, seed=seed)
    audit = replace(
        audit, status="complete", findings=worst_first(findings), seconds=round(time.monotonic() - started, 1)
    )
    if folder:
        _keep(folder, audit, heads, thresholds, data.classes)
    return Mitigation(audit, heads, thresholds)


def _keep(
    folder: RunFolder,
    audit: Audit,
    heads: Mapping[str, Head],
    thresholds: Mapping[str, Mapping[str, float]],
    classes: Sequence[str],
) -> None:
    """Write the audit, and as tables the layers and thresholds that were found."""
    for name, head in heads.items():
        weights = {f"weight_{i}": column for i, column in enumerate(head.weight.T)}
        folder.write_table(f"head_{name}", pd.DataFrame({"class": list(classes), "bias": head.bias, **weights}))
    if thresholds:
        rows = [(strategy, group, value) for strategy, by in thresholds.items() for group, value in by.items()]
        folder.write_table("thresholds", pd.DataFrame(rows, columns=["strategy", "group", "threshold"]))
    folder.write_audit(audit)
