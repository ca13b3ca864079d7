"""An audit as JUnit XML, which continuous integration shows as tests: one test for each finding."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from deeptroubles.findings import Audit, Finding, Verdict

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""
_OPEN = {Verdict.SKIPPED, Verdict.INCONCLUSIVE}


def junit_xml(audit: Audit) -> bytes:
    """Write the findings as test cases.

    A fail is a failure, an error is an error, and what came to no verdict is skipped. A warning passes, with its claim
    as output; so do problems of nearly every network, which say little about this one.

    Args:
        audit: What was found.

    Returns:
        The file, in UTF-8.
    """
    cases = [_case(finding, audit.durations.get(finding.check)) for finding in audit.findings]
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    totals = {
        "name": _text(f"deeptroubles: {audit.model.name}"),
        "tests": str(len(cases)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": f"{audit.seconds:.3f}",
    }
    suite = ET.Element("testsuite", totals | {"timestamp": audit.created})
    suite.extend(cases)
    whole = ET.Element("testsuites", totals)
    whole.append(suite)
    ET.indent(whole)
    return bytes(ET.tostring(whole, encoding="utf-8", xml_declaration=True))


def _case(finding: Finding, seconds: float | None) -> ET.Element:
    family, _, name = finding.check.partition(".")
    case = ET.Element("testcase", {"classname": f"deeptroubles.{family}", "name": name, "time": f"{seconds or 0:.3f}"})
    said, details = _text(finding.claim), _text("\n".join(filter(None, [finding.criterion, *finding.caveats])))
    if finding.verdict in _OPEN:
        ET.SubElement(case, "skipped", {"message": f"{finding.verdict}: {said}"})
    elif finding.verdict is Verdict.ERROR:
        ET.SubElement(case, "error", {"message": said}).text = details
    elif finding.verdict is Verdict.FAIL and not finding.common:
        ET.SubElement(case, "failure", {"message": said, "type": "fail"}).text = details
    else:
        ET.SubElement(case, "system-out").text = f"{finding.verdict}: {said}"
    return case


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
