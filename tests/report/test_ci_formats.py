"""JUnit XML and SARIF of an audit, and the fixture that fails a test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.served import opened

from deeptroubles import audit
from deeptroubles.findings import Finding, Verdict
from deeptroubles.report.junit import junit_xml
from deeptroubles.report.sarif import sarif_json

pytest_plugins = ["pytester"]
CLAIM = "A <claim> & more \x00 \ud800".encode("utf-8", "replace").decode()


def finding(verdict, check="data.balance", *, common=False):
    return Finding(check=check, verdict=verdict, claim=CLAIM, criterion="Why", common=common)


@pytest.fixture(scope="module")
def found():
    what = opened(12)
    return audit(what.classifier, what.images, checks=["data.balance"])


@pytest.fixture(scope="module")
def every(found):
    kinds = [finding(verdict) for verdict in Verdict] + [finding(Verdict.FAIL, "adversarial.patch", common=True)]
    return replace(found, findings=kinds)


def test_junit_counts_what_it_says(every):
    suites = ET.fromstring(junit_xml(every))  # noqa: S314 (our own)
    (suite,) = suites
    said = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped", "system-out")}
    assert said == {"failure": 1, "error": 1, "skipped": 2, "system-out": 3}
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["7", "1", "1", "2"]
    failure = suite.find("testcase/failure")
    assert failure.get("message").startswith("A <claim> & more \ufffd")
    assert failure.text == "Why"


def test_sarif_has_a_rule_for_every_result(every):
    document = json.loads(sarif_json(every, "runs/a/report.html"))
    (run,) = document["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert [rules[result["ruleIndex"]]["id"] for result in results] == [f.check for f in every.findings]
    kinds = [(result["kind"], result["level"]) for result in results]
    order = [f.verdict for f in every.findings]
    assert kinds[order.index(Verdict.FAIL)] == ("fail", "error")
    assert kinds[order.index(Verdict.WARN)] == ("fail", "warning")
    assert kinds[order.index(Verdict.PASS)] == ("pass", "none")
    assert kinds[-1] == ("fail", "note")
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "runs/a/report.html"


def test_the_fixture_fails_a_test_on_a_problem(pytester, monkeypatch):
    pytester.makepyfile(
        """
        from tests.served import opened

        def test_fails(assert_audit):
            what = opened(40)
            twice = what.images.subset([*range(20), *range(20)])
            assert_audit(what.classifier, twice, checks=["data.duplicates"], fail_on="fail:data")

        def test_passes(assert_audit):
            what = opened(40)
            assert assert_audit(what.classifier, what.images, checks=["data.balance"]).findings

        def test_decides_nothing(assert_audit):
            what = opened(40)
            assert_audit(what.classifier, what.images, checks=["reliance.concept"])
        """
    )
    # In a process of its own: pytester forgets imports afterwards, and compiled packages cannot be imported twice.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*FAIL data.duplicates: *", "*No check came to a verdict*"])


def test_the_place_in_sarif_is_an_address(every):
    """The schema wants a URI, in which a space is not a character."""
    document = json.loads(sarif_json(every, "my runs/50%/report.html"))
    places = {
        location["physicalLocation"]["artifactLocation"]["uri"]
        for result in document["runs"][0]["results"]
        for location in result["locations"]
    }
    assert places == {"my%20runs/50%25/report.html"}
