"""A fixture for pytest: `assert_audit(classifier, images)` fails a test where an audit finds a problem.

Installed with the package. Nothing is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from deeptroubles.findings import Audit


@pytest.fixture
def assert_audit(tmp_path: Path) -> Callable[..., Audit]:
    """A function that audits a classifier, and fails the test on a problem.

    Its arguments are those of `deeptroubles.audit`, and `fail_on`: `fail` (the default) or `warn`, of all checks or of
    some (`fail:data,reliance`), as for `deeptroubles audit --fail-on`. It returns the audit.
    """

    def check(classifier: Any, images: Any, *, fail_on: str = "fail", **settings: Any) -> Audit:
        from deeptroubles import audit  # noqa: PLC0415 (only when a test asks)
        from deeptroubles.commands.fail_on import read_fail_on  # noqa: PLC0415

        problem = read_fail_on(fail_on)
        found = audit(classifier, images, **{"out": tmp_path / "audit"} | settings)
        wrong = [finding for finding in found.findings if problem.trips([finding])]
        if wrong:
            said = "\n".join(f"{finding.verdict.upper()} {finding.check}: {finding.claim}" for finding in wrong)
            pytest.fail(f"{said}\nReport: {settings.get('out', tmp_path / 'audit')}/report.html", pytrace=False)
        if not problem.decided(found.findings):
            pytest.fail("No check came to a verdict; give more labelled images.", pytrace=False)
        return found

    return check
