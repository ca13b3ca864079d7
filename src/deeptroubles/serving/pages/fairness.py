"""One class against the rest: curves, thresholds, gaps between groups, and what can be done about them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, HTTPException, Query
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from deeptroubles.findings import Curve, Series, audit_to_json
from deeptroubles.images import ImageSet
from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.fairness.groupings import Grouping, one_column
from deeptroubles.methods.fairness.measures import Measure, Rates, compared, rates, theil_index
from deeptroubles.methods.mitigation.thresholds import Strategy, choose_thresholds, cost_of, cross_fitted
from deeptroubles.methods.properties.cells import MAX_CATEGORIES
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.pages.thumbnails import held, recorded
from deeptroubles.serving.workbench import Workbench
from deeptroubles.statistics.detection_curves import DetectionCurves, detection_curves
from deeptroubles.statistics.intervals import Interval, mean, mean_difference, wilson
from deeptroubles.workflows.mitigate import Mitigation, mitigate

ALL = "all images"
MAX_GROUPS = 12
POINTS = 120
"""Points of a curve that is drawn."""
KEPT = 8
"""Mitigations that are remembered."""
BY_GROUP: tuple[Strategy, ...] = ("per group", "demographic parity", "equal opportunity", "equal accuracy")
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A number with its 95% interval; null where it is not defined or has no end."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class CurveArea:
    """The areas under both curves of a group.

    Attributes:
        group: Its name.
        images: How many labelled images it has.
        positives: How many of them are of the class.
        roc: The area under the ROC curve.
        average_precision: The area under the precision-recall curve.
    """

    group: str
    images: int
    positives: int
    roc: Share
    average_precision: Share


@dataclass(frozen=True, kw_only=True)
class ClassCurves:
    """How well the probability of a class detects it."""

    roc: Curve
    precision_recall: Curve
    areas: list[CurveArea]


@dataclass(frozen=True, kw_only=True)
class GroupRates:
    """The rates of one group; see `deeptroubles.methods.fairness.measures.Rates`.

    Attributes:
        judged: Whether it has enough images.
        threshold: From which probability on the class is predicted; null: never, or the most likely class counts.
    """

    group: str
    images: int
    positives: int
    judged: bool
    threshold: float | None
    selection: Share
    true_positive: Share
    false_positive: Share
    accuracy: Share


@dataclass(frozen=True, kw_only=True)
class StrategyResult:
    """The effect of thresholds that were chosen by one strategy, on images that they were not chosen on.

    Attributes:
        strategy: Its name.
        groups: Each group, with the threshold that all images give.
        accuracy: On all groups together.
        cost: Mean cost per image: 1 for a false negative, the cost ratio for a false positive.
    """

    strategy: str
    groups: list[GroupRates]
    accuracy: Share
    cost: Share


@dataclass(frozen=True, kw_only=True)
class ThresholdAnswer:
    """What each strategy does.

    Attributes:
        strategies: One result each; none where there are too few images.
        notes: What was left out, in sentences.
    """

    strategies: list[StrategyResult]
    notes: list[str]


class ThresholdQuestion(BaseModel):
    """For which class and groups thresholds are chosen, and what mistakes cost."""

    model_config = ConfigDict(extra="forbid")

    positive: int = Field(ge=0, description="Index of the class.")
    column: str | None = Field(None, max_length=300, description="The groups; null: all images are one.")
    cost_ratio: float = Field(1.0, gt=0, le=1000, description="Cost of a false positive; a false negative costs 1.")
    custom: dict[str, float] = Field(
        {}, max_length=MAX_GROUPS, description="Thresholds of your own by group; 0.5 for groups that are not named."
    )


class MitigationQuestion(BaseModel):
    """What is to be mitigated."""

    model_config = ConfigDict(extra="forbid")

    positive: int = Field(ge=0, description="Index of the class.")
    column: str = Field(max_length=300, description="The groups.")


@dataclass(frozen=True, kw_only=True)
class FairnessMeasure:
    """A measure of AI Fairness 360; see `deeptroubles.methods.fairness.measures.Measure`."""

    name: str
    share: Share
    ideal: float
    band: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One group against the reference group."""

    group: str
    measures: list[FairnessMeasure]


@dataclass(frozen=True, kw_only=True)
class FairnessFacts:
    """How far groups differ when one class is predicted or not.

    Attributes:
        groups: All groups, with their rates.
        reference: The group that others are compared with.
        comparisons: Every other group that has enough images.
        theil: The Theil index over all judged images.
        accuracy: On all judged images.
        notes: What was left out, in sentences.
    """

    groups: list[GroupRates]
    reference: str
    comparisons: list[Comparison]
    theil: FairnessMeasure
    accuracy: Share
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What one mitigation gives on images that it was not fitted on.

    Attributes:
        name: Its name; `unchanged` is the model itself, `refitted` the control.
        facts: Groups and measures.
        accuracy_cost: Accuracy of the model minus that of this variant, image by image.
    """

    name: str
    facts: FairnessFacts
    accuracy_cost: Share


@dataclass(frozen=True, kw_only=True)
class MitigationFacts:
    """Before and after.

    Attributes:
        ready: Whether it was tried; POST tries it.
        variants: The model itself first.
        audit: The findings of the mitigations, as those of an audit.
    """

    ready: bool
    variants: list[Variant]
    audit: Any


Positive = Annotated[int, Query(ge=0)]
Column = Annotated[str, Query(max_length=300)]
Name = Annotated[str | None, Query(max_length=300)]


@dataclass(frozen=True)
class _Labelled:
    """The labelled images, for one class against the rest."""

    scores: NDArray[np.float64]
    positive: Flags
    predicted: Flags
    grouping: Grouping

    def of(self, code: int) -> Flags:
        """Which images are in a group."""
        return np.asarray(self.grouping.codes == code)

    def only_large(self) -> tuple[_Labelled, list[str]]:
        """Groups with enough images, and what was left out."""
        sizes = self.grouping.sizes()
        large = np.flatnonzero(sizes >= MIN_GROUP)
        inside = np.isin(self.grouping.codes, large)
        codes = np.searchsorted(large, self.grouping.codes[inside]).astype(np.int64)
        grouping = Grouping(self.grouping.name, codes, tuple(self.grouping.names[k] for k in large))
        kept = _Labelled(self.scores[inside], self.positive[inside], self.predicted[inside], grouping)
        return kept, _left_out(int((~inside).sum()), self.grouping.name)


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of performance and fairness."""
    at = APIRouter(prefix="/data", tags=["fairness"])
    mitigated: OrderedDict[tuple[int, str], Mitigation] = OrderedDict()

    @at.get("/curves")
    def curves(positive: Positive, column: Name = None) -> ClassCurves:
        """The ROC and precision-recall curves of a class, of all labelled images and of each group."""
        data = _labelled(bench, positive, column)
        return _curves(data, bench.classifier.class_names[positive])

    @at.post("/thresholds")
    def thresholds(question: ThresholdQuestion) -> ThresholdAnswer:
        """The effect of thresholds by every strategy, each measured on images that it was not chosen on."""
        return _strategies(_labelled(bench, question.positive, question.column), question, bench.seed)

    @at.get("/fairness")
    def fairness(positive: Positive, column: Column, reference: Name = None) -> FairnessFacts:
        """How far groups differ in the rates of a class, with the measures of AI Fairness 360."""
        return _facts(_labelled(bench, positive, column), reference, bench.seed)

    @at.get("/mitigation")
    def mitigation(positive: Positive, column: Column, reference: Name = None) -> MitigationFacts:
        """What mitigations gave, where they were tried."""
        found = mitigated.get((positive, column))
        if found is None:
            return MitigationFacts(ready=False, variants=[], audit=None)
        return _before_and_after(found, positive, reference, bench.seed)

    @at.post("/mitigation", status_code=202)
    def try_mitigations(question: MitigationQuestion) -> int:
        """Try all mitigations; the job's number."""
        _labelled(bench, question.positive, question.column)

        def work(_job: Job) -> None:
            mitigated[question.positive, question.column] = _mitigated(bench, question)
            while len(mitigated) > KEPT:
                mitigated.popitem(last=False)

        return jobs.start(f"Mitigation by {question.column}", work).id

    return at


def exported(bench: Workbench) -> Iterator[str]:
    """What a static copy needs: the curves of each class, where there are few."""
    if bench.is_recorded and held(bench) and len(bench.recording.labelled):
        count = bench.recording.logits.shape[1]
        yield from (f"/data/curves?positive={k}" for k in range(count if count <= MAX_GROUPS else 0))


def _labelled(bench: Workbench, positive: int, column: str | None) -> _Labelled:
    """The labelled images. Raises 404 and 422 where a class or a column does not exist or cannot be used."""
    recording = recorded(bench).recording
    if positive >= recording.logits.shape[1]:
        raise HTTPException(404, "There is no such class.")
    rows = recording.labelled
    if not len(rows):
        raise HTTPException(422, "The images have no labels of the model's classes, so nothing can be compared.")
    return _Labelled(
        recording.probabilities[rows, positive],
        recording.targets[rows] == positive,
        recording.predicted[rows] == positive,
        _grouping(bench, column).take(rows),
    )


def _grouping(bench: Workbench, column: str | None) -> Grouping:
    """The group of every image that can be read."""
    if column is None:
        return Grouping(ALL, np.zeros(len(bench.recording.logits), dtype=np.int64), (ALL,))
    entry = held(bench)
    if entry is None or column not in entry.facts["origins"]:
        raise HTTPException(404, f"There is no column {column!r}.")
    table = bench.store.table(entry)
    found = one_column(table, f"{column}{_cuts(table[column])}")
    if not 1 < len(found.names) <= MAX_GROUPS:
        raise HTTPException(422, f"{column} has {len(found.names)} groups; choose a column with 2 to {MAX_GROUPS}.")
    return found


def _cuts(values: pd.Series[Any]) -> str:
    """Where many different numbers are cut into thirds, as `one_column` takes it; '' for everything else."""
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= MAX_CATEGORIES:
        return ""
    edges = dict.fromkeys(f"{edge:.3g}" for edge in values.quantile([1 / 3, 2 / 3]))
    return f":{','.join(edges)}"


def _grouped_images(bench: Workbench, column: str) -> tuple[ImageSet, str]:
    """The images with a column that says the group, and the name of that column."""
    images, grouping = bench.recording.subject.images, _grouping(bench, column)
    name = f"groups of {column}" if column in {"path", "label", "mask", "cue_mask"} else column
    if name in images.table and not pd.api.types.is_numeric_dtype(images.table[name]):
        return images, name
    table = images.table.copy()
    table[name] = [grouping.names[code] if code >= 0 else None for code in grouping.codes]
    return replace(images, table=table), name


def _facts(data: _Labelled, reference: str | None, seed: int) -> FairnessFacts:
    names, sizes = data.grouping.names, data.grouping.sizes()
    if reference is not None and reference not in names:
        raise HTTPException(404, f"There is no group {reference!r}.")
    base = names.index(reference) if reference is not None else int(sizes.argmax())
    every = [rates(data.predicted[data.of(code)], data.positive[data.of(code)]) for code in range(len(names))]
    judged = sizes >= MIN_GROUP
    inside = judged[data.grouping.codes] & (data.grouping.codes >= 0)
    others = [code for code in range(len(names)) if code != base and judged[code] and judged[base]]
    small = [name for name, large in zip(names, judged, strict=True) if not large]
    hits = data.predicted[inside] == data.positive[inside]
    return FairnessFacts(
        groups=[_group(name, each) for name, each in zip(names, every, strict=True)],
        reference=names[base],
        comparisons=[
            Comparison(group=names[code], measures=[_measure(m) for m in compared(every[code], every[base])])
            for code in others
        ],
        theil=_measure(theil_index(data.predicted[inside], data.positive[inside], seed=seed)),
        accuracy=_share(wilson(int(hits.sum()), len(hits))),
        notes=[
            *_left_out(int((data.grouping.codes < 0).sum()), data.grouping.name),
            *([f"Not judged, with fewer than {MIN_GROUP} labelled images: {', '.join(small)}."] if small else []),
        ],
    )


def _curves(data: _Labelled, name: str) -> ClassCurves:
    parts = {ALL: np.ones(len(data.positive), dtype=bool)}
    if len(data.grouping.names) > 1:
        parts |= {group: data.of(code) for code, group in enumerate(data.grouping.names)}
    found = {group: detection_curves(data.scores[rows], data.positive[rows]) for group, rows in parts.items()}
    return ClassCurves(
        roc=_roc(name, found),
        precision_recall=_precision_recall(name, found, float(data.positive.mean())),
        areas=[_area(group, data.positive[rows], found[group]) for group, rows in parts.items()],
    )


def _strategies(every: _Labelled, question: ThresholdQuestion, seed: int) -> ThresholdAnswer:
    data, notes = every.only_large()
    if not data.positive.any() or data.positive.all():
        needed = f"Thresholds need {MIN_GROUP} labelled images of a group, some of the class and some of others."
        return ThresholdAnswer(strategies=[], notes=[*notes, needed])
    own = np.array([question.custom.get(name, 0.5) for name in data.grouping.names])
    results = [_thresholds("custom", own, data.scores >= own[data.grouping.codes], data, question.cost_ratio)]
    for strategy in ("single", *(BY_GROUP if len(own) > 1 else ())):
        given = (strategy, data.scores, data.positive, data.grouping.codes)
        predicted = cross_fitted(*given, cost_ratio=question.cost_ratio, seed=seed)
        chosen = choose_thresholds(*given, cost_ratio=question.cost_ratio)
        results.append(_thresholds(strategy, chosen, predicted, data, question.cost_ratio))
    return ThresholdAnswer(strategies=results, notes=notes)


def _mitigated(bench: Workbench, question: MitigationQuestion) -> Mitigation:
    with bench.computing():
        images, column = _grouped_images(bench, question.column)
        classifier = bench.recording.subject.classifier
        return mitigate(
            classifier,
            images,
            column,
            positive=classifier.class_names[question.positive],
            seed=bench.seed,
            engine=lambda _folder, _batch_size: bench.engine,
        )


def _before_and_after(found: Mitigation, positive: int, reference: str | None, seed: int) -> MitigationFacts:
    truth = found.targets == positive
    before = found.predicted["unchanged"] == positive
    known = reference if reference in found.names else None

    def variant(name: str, labels: NDArray[np.int64]) -> Variant:
        predicted = labels == positive
        data = _Labelled(np.zeros(len(truth)), truth, predicted, Grouping("", found.groups, found.names))
        cost = mean_difference((before == truth).astype(float) - (predicted == truth))
        return Variant(name=name, facts=_facts(data, known, seed), accuracy_cost=_share(cost))

    variants = [variant(name, labels) for name, labels in found.predicted.items()]
    return MitigationFacts(ready=True, variants=variants, audit=json.loads(audit_to_json(found.audit)))


def _thresholds(
    strategy: str, chosen: NDArray[np.float64], predicted: Flags, data: _Labelled, cost_ratio: float
) -> StrategyResult:
    hits = predicted == data.positive
    groups = [
        _group(name, rates(predicted[data.of(code)], data.positive[data.of(code)]), float(chosen[code]))
        for code, name in enumerate(data.grouping.names)
    ]
    cost = mean(cost_of(predicted, data.positive, cost_ratio))
    return StrategyResult(
        strategy=strategy,
        groups=groups,
        accuracy=_share(wilson(int(hits.sum()), len(hits))),
        cost=_share(cost._replace(low=max(0.0, cost.low))),
    )


def _group(name: str, found: Rates, threshold: float | None = None) -> GroupRates:
    return GroupRates(
        group=name,
        images=found.images,
        positives=found.positives,
        judged=found.images >= MIN_GROUP,
        threshold=_finite(threshold) if threshold is not None else None,
        selection=_share(found.selection),
        true_positive=_share(found.true_positive),
        false_positive=_share(found.false_positive),
        accuracy=_share(found.accuracy),
    )


def _measure(found: Measure) -> FairnessMeasure:
    return FairnessMeasure(name=found.name, share=_share(found.estimate), ideal=found.ideal, band=found.band)


def _share(interval: Interval) -> Share:
    return Share(value=_finite(interval.value), low=_finite(interval.low), high=_finite(interval.high))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _left_out(count: int, column: str) -> list[str]:
    what = f"{count} labelled image{'' if count == 1 else 's'}"
    why = f"without a value of {column}, or in groups with fewer than {MIN_GROUP}"
    return [f"{what} {why}, left out."] if count else []


def _area(group: str, positive: Flags, found: DetectionCurves | None) -> CurveArea:
    nothing = Interval(float("nan"), 0.0, 1.0)
    return CurveArea(
        group=group,
        images=len(positive),
        positives=int(positive.sum()),
        roc=_share(found.roc_area if found else nothing),
        average_precision=_share(found.average_precision if found else nothing),
    )


def _roc(name: str, found: Mapping[str, DetectionCurves | None]) -> Curve:
    lines = [
        _line(group, curves.false_positive_rate, curves.true_positive_rate) for group, curves in found.items() if curves
    ]
    chance = Series(name="chance", x=[0, 1], y=[0, 1], reference=True)
    return Curve(
        title=f"ROC: {name} against the rest",
        x_label="false-positive rate",
        y_label="true-positive rate",
        series=[*lines, chance],
        y_range=(0, 1),
    )


def _precision_recall(name: str, found: Mapping[str, DetectionCurves | None], share: float) -> Curve:
    lines = [_line(group, curves.recall, curves.precision) for group, curves in found.items() if curves]
    chance = Series(name="chance", x=[0, 1], y=[share, share], reference=True)
    return Curve(
        title=f"Precision and recall: {name} against the rest",
        x_label="recall",
        y_label="precision",
        series=[*lines, chance],
        y_range=(0, 1),
    )


def _line(name: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Series:
    """A line with few points, at about equal distances along it."""
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0, length[-1], POINTS)
    chosen = np.unique(np.append(np.searchsorted(length, wanted[:-1]), len(x) - 1))
    return Series(name=name, x=[round(float(v), 4) for v in x[chosen]], y=[round(float(v), 4) for v in y[chosen]])
