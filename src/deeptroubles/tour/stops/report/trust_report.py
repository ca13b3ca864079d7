"""The trust report: is it right for the right reasons?"""

from __future__ import annotations

from deeptroubles.findings import Column, ImageGrid, Table
from deeptroubles.tour.shared.networks import horse
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.workflows.audit import audit

_QUICK = (
    "performance.accuracy",
    "performance.calibration",
    "data.balance",
    "reliance.shortcut",
    "stability.translation",
)
_FULL = (
    *_QUICK,
    "data.duplicates",
    "performance.baseline",
    "reliance.object",
    "reliance.background",
    "units.dead",
    "adversarial.untargeted",
)


def trust_report(workshop: Workshop) -> Shown:
    """All questions at once, about the network that classifies horses: what would you tell your colleagues?"""
    planted = horse(workshop)
    found = audit(
        planted.classifier,
        planted.images,
        checks=workshop.pick(_QUICK, _FULL),
        seed=workshop.seed,
        budget=workshop.pick(60.0, 300.0),
    )
    first = found.findings[0]
    verdicts = [(str(finding.verdict), finding.check, finding.claim) for finding in found.findings]
    passed = sum(verdict == "pass" for verdict, *_ in verdicts)
    return Shown(
        see=[
            *found.summary,
            (
                "Each line of the table is a finding with a number and an interval. A network can be accurate, "
                "well calibrated, and still be right for the wrong reason."
            ),
        ],
        numbers=[
            Number(
                label="The first finding is the shortcut (1: yes)",
                value=float(first.check == "reliance.shortcut"),
                low=1,
                high=1,
                unit="number",
            ),
            Number(label="Checks that pass nevertheless", value=passed, low=1, unit="number"),
        ],
        pictures=[
            Table(
                title="The findings",
                columns=[Column(name="verdict"), Column(name="check"), Column(name="finding")],
                rows=verdicts,
            ),
            *[evidence for evidence in first.evidence if isinstance(evidence, ImageGrid)][:3],
        ],
        commands=[
            "deeptroubles planted horse --out runs/horse",
            (
                "deeptroubles audit runs/horse/horse.pt2 --classes runs/horse/classes.txt --images "
                "runs/horse/manifest.csv --out runs/horse/audit"
            ),
            "deeptroubles audit my.models:build --images photos/ --out runs/mine   # your own network and photographs",
        ],
        tries=["The report is one file that opens anywhere and makes no request: send it to a colleague."],
    )
