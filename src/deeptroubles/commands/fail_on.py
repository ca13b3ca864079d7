"""`--fail-on`: which findings make the command exit with 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deeptroubles.checks.registry import check_docstrings, named, refuse_unknown
from deeptroubles.errors import UsageError
from deeptroubles.findings import Finding, Verdict

_VERDICTS = {"fail": {Verdict.FAIL, Verdict.ERROR}, "warn": {Verdict.FAIL, Verdict.ERROR, Verdict.WARN}}


@dataclass(frozen=True)
class FailOn:
    """What counts as a problem: a verdict or worse, of all checks or of some.

    Attributes:
        worst: `fail` or `warn`.
        checks: Names or families of the checks that count. None: all, but for problems of nearly every network.
    """

    worst: str
    checks: tuple[str, ...] = ()

    def trips(self, findings: Iterable[Finding]) -> bool:
        """Whether one of the findings is a problem."""
        return any(f.verdict in _VERDICTS[self.worst] and self._counts(f) for f in findings)

    def decided(self, findings: Iterable[Finding]) -> bool:
        """Whether a check that was named, or any, came to a verdict."""
        open_verdicts = {Verdict.SKIPPED, Verdict.INCONCLUSIVE}
        asked = [f for f in findings if not self.checks or named(f.check, self.checks)]
        return any(f.verdict not in open_verdicts for f in asked)

    def _counts(self, finding: Finding) -> bool:
        return named(finding.check, self.checks) if self.checks else not finding.common


def read_fail_on(text: str) -> FailOn:
    """Read `fail`, `warn`, or either with names, such as `fail:data,reliance`.

    Raises:
        UsageError: It is none of these, or a name is neither a check nor a family.
    """
    worst, colon, names = text.partition(":")
    checks = tuple(name.strip() for name in names.split(",")) if colon else ()
    if worst not in _VERDICTS or (colon and not all(checks)):
        raise UsageError(
            f"--fail-on does not take {text!r}; write fail, warn, or either with checks or families, such as "
            "fail:data,reliance."
        )
    refuse_unknown(checks, check_docstrings())
    return FailOn(worst, checks)
