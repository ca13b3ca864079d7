"""What every check of mitigation gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deeptroubles.checks.mitigation.shared.halves import Halves, Labels
from deeptroubles.errors import DeeptroublesError
from deeptroubles.findings import Finding, Verdict
from deeptroubles.methods.mitigation.last_layer import Head


@dataclass(frozen=True, kw_only=True)
class Mitigated:
    """The effect of one mitigation.

    Attributes:
        check: The check's name.
        found: Its finding; None where the mitigation was not possible.
        problem: Why it was not possible.
        heads: Retrained last layers by name: `refitted` is the control.
        thresholds: The threshold of each group, by strategy.
        data: The images, and which half is held out.
        predicted: The predicted class of each held-out image, `unchanged` and by each layer or strategy; -1: not the
            class that thresholds are for.
    """

    check: str
    found: Finding | None = None
    problem: DeeptroublesError | None = None
    heads: Mapping[str, Head] = field(default_factory=dict)
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    data: Halves | None = None
    predicted: Mapping[str, Labels] = field(default_factory=dict)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if self.found:
            yield self.found
        else:
            claim = f"Inconclusive: {self.problem}"
            yield Finding(check=self.check, verdict=Verdict.INCONCLUSIVE, claim=claim, criterion="")
