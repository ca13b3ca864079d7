"""What an audit found: verdicts, the evidence behind them, and the audit that holds them.

This file is the contract between the checks, which write findings, and the presenters, which read them. It imports
no torch, so that a run can be read anywhere. Evidence comes in a closed set of kinds; a presenter draws kinds and
never needs to know a check.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, computed_field

from deeptroubles.display import Brief, html_table

SCHEMA_VERSION = 1
Number = int | float


class Verdict(StrEnum):
    """What a check concluded, from worst to best."""

    FAIL = "fail"
    ERROR = "error"
    WARN = "warn"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, repr=False)
class Picture(Brief):
    """A picture. `src` is a data URI in memory and `images/<hash>.webp` in a run folder.

    `row` is the row of the image that it shows, unchanged; None: it shows something else.
    """

    src: str
    alt: str
    width: int
    height: int
    row: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The value of a known network, to compare an estimate with.

    Attributes:
        name: The network and what it was trained on.
        value: In the unit of the estimate.
        source: How it was measured, or where it was published.
        date: When, as YYYY-MM-DD, or the year of the publication.
    """

    name: str
    value: float
    source: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval, next to the thresholds it is judged by and to what is usual."""

    kind: Literal["estimate"] = "estimate"
    label: str
    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    unit: Literal["share", "number", "probability", "pixels"] = "share"
    warn_at: float | None = None
    fail_at: float | None = None
    higher_is_worse: bool = True
    references: Sequence[Reference] = ()


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    `share` and `probability` are in [0, 1]. Cells of an `interval` are [low, high], and have the unit of the nearest
    column of numbers to its left.
    """

    name: str
    kind: Literal["text", "number", "share", "probability", "interval", "picture"] = "text"


Cell = str | Number | Picture | list[float] | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Table(Brief):
    """Rows that a reader may sort."""

    kind: Literal["table"] = "table"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True, repr=False)
class Series(Brief):
    """One line of a curve, with its interval where there is one. `reference` lines are drawn thin and dashed."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    reference: bool = False


@dataclass(frozen=True, kw_only=True, repr=False)
class Curve(Brief):
    """Lines over a common x axis."""

    kind: Literal["curve"] = "curve"
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    y_range: tuple[float, float] | None = None
    x_scale: Literal["linear", "log"] = "linear"


@dataclass(frozen=True, kw_only=True, repr=False)
class GridItem(Brief):
    """One picture of a grid with a short caption and, under it, a note."""

    picture: Picture
    caption: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageGrid(Brief):
    """Pictures to look at side by side.

    With `strip` they are the steps of one story, read from left to right. `columns` are their number on every screen;
    None: as many as fit.
    """

    kind: Literal["image_grid"] = "image_grid"
    title: str
    items: Sequence[GridItem]
    strip: bool = False
    columns: int | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Heatmap(Brief):
    """A grid of numbers (rows from top to bottom), over a picture or over labelled axes. Raw and signed."""

    values: Sequence[Sequence[float | None]]
    caption: str
    alt: str
    picture: Picture | None = None
    x_ticks: Sequence[str] | None = None
    y_ticks: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Heatmaps(Brief):
    """Heatmaps that share one scale and one color bar. `diverging` scales are centered on 0."""

    kind: Literal["heatmaps"] = "heatmaps"
    title: str
    items: Sequence[Heatmap]
    scale_label: str
    low: float
    high: float
    diverging: bool = False
    x_label: str = ""
    y_label: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class CountryValue(Brief):
    """A number of one country (two-letter code of ISO 3166-1, or XK), with a note that says more."""

    code: str
    name: str
    value: float
    note: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class WorldMap(Brief):
    """A map of the world, colored by country. Numbers beyond `low` and `high` get the color of these.

    `diverging` scales are centered on 0. `absent` says what it means that a country is not among `countries`.
    """

    kind: Literal["world_map"] = "world_map"
    title: str
    countries: Sequence[CountryValue]
    scale_label: str
    low: float
    high: float
    absent: str
    caption: str
    alt: str
    diverging: bool = False


Evidence = Annotated[Estimate | Table | Curve | ImageGrid | Heatmaps | WorldMap, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, repr=False)
class Finding:
    """One verdict: a claim with a number, its criterion, and its evidence.

    Findings of the same verdict are ordered by `priority`, highest first (0 for nearly all), then by `severity` in
    [0, 1]. A `common` finding is a problem of nearly every network that was not trained against it: it says little
    about this one, and stands apart from what does.
    """

    check: str
    verdict: Verdict
    claim: str
    criterion: str
    priority: int = 0
    severity: float = 0.0
    common: bool = False
    evidence: Sequence[Evidence] = ()
    caveats: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"{self.verdict.upper()} {self.check}: {self.claim}"

    def _repr_html_(self) -> str:
        rows = [(self.verdict.upper(), self.claim), ("Criterion", self.criterion)]
        rows += [(e.label, _with_interval(e)) for e in self.evidence if isinstance(e, Estimate)]
        return html_table(self.check, ("", ""), [*rows, *(("Caveat", caveat) for caveat in self.caveats)])


@dataclass(frozen=True, kw_only=True)
class Guide:
    """How to read a check, from its docstring: one entry for each of the fixed sections."""

    question: str
    asks: str
    matters: str
    reading: str
    limits: str
    references: str


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that was counted but could not be used."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What was audited. `learning_curves` are those of a model that `deeptroubles train` made."""

    name: str
    source: str
    fingerprint: str
    classes: int
    parameters: int
    input: str
    preprocessing: str
    learning_curves: Sequence[Curve] = ()


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What it was audited on."""

    name: str
    fingerprint: str
    count: int
    labelled: int
    classes: int
    unreadable: Sequence[Unreadable] = ()
    unmatched_labels: dict[str, int] = field(default_factory=dict)
    credits: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class Audit:
    """All that one audit found, worst first, with what a reader needs to understand and repeat it.

    `durations` holds the seconds that each check took, by its name.
    """

    schema_version: int = SCHEMA_VERSION
    status: Literal["running", "interrupted", "complete"]
    created: str
    seconds: float
    command: str
    seed: int
    environment: dict[str, str]
    model: ModelFacts
    images: ImageFacts
    findings: Sequence[Finding]
    guides: dict[str, Guide]
    durations: dict[str, float] = field(default_factory=dict)

    def verdicts(self) -> dict[Verdict, int]:
        """Count the findings about this model by verdict, worst first; common ones are left out."""
        counts = {verdict: sum(f.verdict == verdict and not f.common for f in self.findings) for verdict in Verdict}
        return {verdict: count for verdict, count in counts.items() if count}

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorators above @property
    @property
    def summary(self) -> list[str]:
        """In at most three lines: is it right for the right reasons, how many verdicts, what was not tested."""
        return [line for line in (_answer(self), _counted(self), _not_tested(self)) if line]

    def __repr__(self) -> str:
        worst = [f"  {finding!r}" for finding in self.findings[:_FIRST]]
        more = len(self.findings) - len(worst)
        return "\n".join([self._title, *worst, *([f"  ... and {more} more in `findings`"] if more else [])])

    def _repr_html_(self) -> str:
        rows = ((finding.verdict.upper(), finding.check, finding.claim) for finding in self.findings)
        return html_table(self._title, ("verdict", "check", "claim"), rows)

    @property
    def _title(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts().items()) or "no findings"
        return f"Audit of {self.model.name} on {self.images.name} ({self.images.count} images): {counts}"


_FIRST = 5
"""The number of findings that an audit prints."""


def _with_interval(estimate: Estimate) -> str:
    of = "{:.1%}" if estimate.unit in {"share", "probability"} else "{:.4g}"
    value, low, high = (of.format(number) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high}, {estimate.level:.0%} interval, n = {estimate.n})"


_COUNTED = {
    Verdict.FAIL: ("problem", "problems"),
    Verdict.ERROR: ("crashed", "crashed"),
    Verdict.WARN: ("warning", "warnings"),
    Verdict.INCONCLUSIVE: ("inconclusive", "inconclusive"),
    Verdict.PASS: ("passed", "passed"),
    Verdict.SKIPPED: ("skipped", "skipped"),
}
_MOST_NAMES = 6


def _answer(audit: Audit) -> str:
    """Whether the classifier is right for the right reasons, with the claim of the worst finding."""
    counts = audit.verdicts()
    own = [finding for finding in audit.findings if not finding.common]
    worst = {verdict: next(f.claim for f in own if f.verdict == verdict) for verdict in counts}
    passed = counts.get(Verdict.PASS, 0)
    unclear = counts.get(Verdict.INCONCLUSIVE, 0) + counts.get(Verdict.ERROR, 0)
    if Verdict.FAIL in worst:
        return f"Not entirely. {worst[Verdict.FAIL]}"
    if audit.status != "complete":
        return f"Not known yet: the audit {'is still running' if audit.status == 'running' else 'was interrupted'}."
    if Verdict.WARN in worst:
        return f"Perhaps not entirely. {worst[Verdict.WARN]}"
    if passed > unclear:
        families = sorted({f.check.split(".")[0] for f in audit.findings if f.verdict == Verdict.PASS})
        yes = f"As far as tested, yes: no problem was found in {_listed(families)}."
        unasked = (
            f"No problem was found in {_listed(families)}, but its reasons were not tested: no reliance check passed."
        )
        return yes if "reliance" in families else unasked
    if passed or unclear:
        return f"Not known: {unclear} of {unclear + passed} findings reached no verdict."
    return "Not known: no check could run." if counts else "Not known: no check about this model ran."


def _counted(audit: Audit) -> str:
    """How many findings have each verdict, worst first."""
    counts = [f"{count} {_COUNTED[verdict][count > 1]}" for verdict, count in audit.verdicts().items()]
    common = sum(finding.common for finding in audit.findings)
    if common:
        counts.append(f"{common} {'problem' if common == 1 else 'problems'} of nearly every network")
    return f"Findings: {', '.join(counts)}." if counts else ""


def _not_tested(audit: Audit) -> str:
    """The checks that were skipped or crashed."""
    untested = {Verdict.SKIPPED, Verdict.ERROR}
    tested = {f.check for f in audit.findings if f.verdict not in untested}
    names = list(dict.fromkeys(f.check for f in audit.findings if f.check not in tested))
    return f"Not tested: {_listed(names)}." if names else ""


def _listed(names: Sequence[str]) -> str:
    """Names as English lists them; of many names the first, and how many more."""
    shown = list(names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        shown.append(f"{len(names) - _MOST_NAMES} more")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


_RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}


@cache
def _audits() -> TypeAdapter[Audit]:
    return TypeAdapter(Audit)  # made when first used: it takes a while


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Order findings by verdict, falling priority, falling severity, and check; common ones come last."""
    return sorted(findings, key=lambda f: (f.common, _RANK[f.verdict], -f.priority, -f.severity, f.check))


def audit_to_json(audit: Audit) -> str:
    """Write an audit as JSON (NaN and infinity become null)."""
    return json.dumps(_audits().dump_python(audit, mode="json"), ensure_ascii=False, allow_nan=False, indent=1)


def audit_from_json(text: str | bytes) -> Audit:
    """Read and validate an audit. Raises `pydantic.ValidationError` when the text is not one."""
    return _audits().validate_json(text)


def findings_to_json(findings: Sequence[Finding]) -> str:
    """Write findings as JSON."""
    return TypeAdapter(list[Finding]).dump_json(list(findings)).decode()


def audit_schema() -> dict[str, Any]:
    """Return the JSON schema of an audit, from which the page's TypeScript types are made."""
    return _audits().json_schema(mode="serialization")
