"""What this server looks at, and the audit that its run folder holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from deeptroubles.findings import Audit, Evidence, Heatmaps, ImageGrid, Table, Verdict, audit_to_json
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.workbench import Workbench
from deeptroubles.workflows.audit import audit as run_audit

_UNIT = re.compile(r"unit \d+ of layer (.+)")


@dataclass(frozen=True, kw_only=True)
class About:
    """What this server looks at.

    Attributes:
        model: Name of the model.
        model_id: The start of its fingerprint, which is in every address about it.
        images: Name of the images.
        count: How many there are.
        classes: Names of the classes.
        size: Height, width and channels of the model's input.
        has_audit: Whether the run folder holds an audit.
        can_compute: Whether the model is here; otherwise only what the folder holds can be looked at.
        beside: Name of the second model; '' without one.
    """

    model: str
    model_id: str
    images: str
    count: int
    classes: list[str]
    size: tuple[int, int, int] | None
    has_audit: bool
    can_compute: bool
    beside: str = ""


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A finding, and what it is about.

    Attributes:
        id: Its address in the report.
        verdict: Its verdict.
        claim: What it claims.
        images: Rows of the images that its evidence shows.
        layers: Layers that its evidence names.
    """

    id: str
    verdict: Verdict
    claim: str
    images: list[int]
    layers: list[str]


def exported(_bench: Workbench) -> Iterator[str]:
    """What a static copy needs."""
    yield from ("/about", "/audit", "/audit/mentions")


def mentions(audit: Audit) -> Iterator[Mention]:
    """What every finding is about, in their order."""
    counted: Counter[str] = Counter()
    for finding in audit.findings:
        counted[finding.check] += 1
        number = counted[finding.check]
        yield Mention(
            id=finding.check if number == 1 else f"{finding.check}-{number}",  # as frontend/src/data.ts names it
            verdict=finding.verdict,
            claim=finding.claim,
            images=sorted({row for item in finding.evidence for row in _rows_shown(item)}),
            layers=sorted({name for item in finding.evidence for name in _layers_named(item)}),
        )


def _rows_shown(item: Evidence) -> Iterator[int]:
    if isinstance(item, ImageGrid | Heatmaps):
        for shown in item.items:
            if shown.picture and shown.picture.row is not None:
                yield shown.picture.row


def _layers_named(item: Evidence) -> Iterator[str]:
    if isinstance(item, Table):
        for row in item.rows:
            for column, cell in zip(item.columns, row, strict=True):
                if isinstance(cell, str) and column.name == "layer":
                    yield cell
                elif isinstance(cell, str) and (unit := _UNIT.fullmatch(cell)):
                    yield unit[1]


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of the findings."""
    at = APIRouter(tags=["findings"])

    @at.get("/about")
    def about() -> About:
        """What this server looks at."""
        held = bench.audit()
        if bench.can_compute:
            classifier, opened = bench.classifier, bench.opened
            return About(
                model=classifier.name,
                model_id=bench.model_id,
                images=opened.images.name,
                count=len(opened.images),
                classes=list(classifier.class_names),
                size=(*classifier.size, classifier.channels),
                has_audit=held is not None,
                can_compute=True,
                beside=opened.beside.name if opened.beside else "",
            )
        return About(
            model=held.model.name if held else bench.path.name,
            model_id=held.model.fingerprint[:8] if held else "kept",
            images=held.images.name if held else "",
            count=held.images.count if held else 0,
            classes=[],
            size=None,
            has_audit=held is not None,
            can_compute=False,
        )

    @at.get("/audit")
    def audit() -> Any:
        """The audit, as in `audit.json`; null where there is none yet."""
        held = bench.audit()
        return json.loads(audit_to_json(held)) if held else None

    @at.get("/audit/mentions")
    def audit_mentions() -> list[Mention]:
        """What every finding is about: images that it shows, layers that it names."""
        held = bench.audit()
        return list(mentions(held)) if held else []

    @at.post("/audit", status_code=202)
    def start_audit(checks: str | None = None) -> int:
        """Run checks (names or families, comma-separated; default: all) in the background; the number of the job."""
        opened = bench.opened

        def work(_job: Job) -> None:
            names = [name.strip() for name in checks.split(",")] if checks else None
            with bench.lock:
                run_audit(opened.classifier, opened.images, bench.path, checks=names, seed=bench.seed)

        return jobs.start("Audit", work).id

    return at
