"""An audit as SARIF 2.1.0, which code hosts show next to the code: a rule for each check, a result for each finding."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any
from urllib.parse import quote

from deeptroubles.findings import Audit, Finding, Verdict

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Verdict.FAIL: "error", Verdict.ERROR: "error", Verdict.WARN: "warning"}
_KINDS = {
    Verdict.FAIL: "fail",
    Verdict.ERROR: "fail",
    Verdict.WARN: "fail",
    Verdict.PASS: "pass",
    Verdict.INCONCLUSIVE: "open",
    Verdict.SKIPPED: "notApplicable",
}


def sarif_json(audit: Audit, place: str) -> bytes:
    """Write the findings as results. Problems of nearly every network are notes.

    Args:
        audit: What was found.
        place: The file that results are shown at, relative to the repository, such as the one that makes the model.

    Returns:
        The file, in UTF-8.

    References:
        OASIS: Static Analysis Results Interchange Format (SARIF) version 2.1.0, 2020, sections 3.27 (result) and 3.49
        (reportingDescriptor).
    """
    checks = list(dict.fromkeys(finding.check for finding in audit.findings))
    driver = {
        "name": "deeptroubles",
        "version": metadata.version("deeptroubles"),
        "rules": [_rule(check, audit) for check in checks],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": audit.status == "complete", "commandLine": audit.command}],
        "results": [_result(finding, checks.index(finding.check), audit, place) for finding in audit.findings],
        "properties": {"model": audit.model.name, "images": audit.images.name, "seed": audit.seed},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=1).encode()


def _rule(check: str, audit: Audit) -> dict[str, Any]:
    guide = audit.guides.get(check)
    if guide is None:
        return {"id": check}
    return {
        "id": check,
        "shortDescription": {"text": guide.question},
        "fullDescription": {"text": guide.asks or guide.question},
        "help": {"text": "\n\n".join(filter(None, [guide.matters, guide.reading, guide.limits])) or guide.question},
    }


def _result(finding: Finding, index: int, audit: Audit, place: str) -> dict[str, Any]:
    kind = _KINDS[finding.verdict]
    level = "none" if kind != "fail" else "note" if finding.common else _LEVELS[finding.verdict]
    return {
        "ruleId": finding.check,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": finding.claim},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(place)}, "region": {"startLine": 1}}}],
        "partialFingerprints": {"modelAndCheck/v1": f"{audit.model.name}/{finding.check}"},
    }
