"""What this server looks at, and the audit that its run folder holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from deeptroubles.findings import audit_to_json
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.workbench import Workbench
from deeptroubles.workflows.audit import audit as run_audit


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


def exported(_bench: Workbench) -> Iterator[str]:
    """What a static copy needs."""
    yield from ("/about", "/audit")


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
