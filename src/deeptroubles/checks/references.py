"""Reference values: estimates measured on known networks, shown next to those of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from deeptroubles.findings import Estimate, Evidence, Finding, Reference

FILE = Path(__file__).with_suffix(".json")
"""Values by check and label of the estimate: `measured` by `scripts/references.py`, `published` by hand."""


def with_references(finding: Finding) -> Finding:
    """A finding whose estimates have the values of known networks beside them, where there are some."""
    known = references().get(finding.check, {})

    def beside(evidence: Evidence) -> Evidence:
        if not isinstance(evidence, Estimate):
            return evidence
        return replace(evidence, references=known.get(evidence.label, ()))

    return replace(finding, evidence=[beside(evidence) for evidence in finding.evidence])


@cache
def references() -> Mapping[str, Mapping[str, Sequence[Reference]]]:
    """Every value, by check and label: those that were measured here first."""
    adapter = TypeAdapter(dict[str, dict[str, dict[str, list[Reference]]]])
    held = adapter.validate_json(FILE.read_bytes())
    joined: dict[str, dict[str, list[Reference]]] = {}
    for kind in ("measured", "published"):
        for check, labels in held[kind].items():
            for label, found in labels.items():
                joined.setdefault(check, {}).setdefault(label, []).extend(found)
    return joined
