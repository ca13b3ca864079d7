"""The summary of an audit answers the question in the title of its report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeptroubles.commands.audit import print_findings
from deeptroubles.findings import (
    Audit,
    Finding,
    ImageFacts,
    ModelFacts,
    Verdict,
    audit_from_json,
    audit_to_json,
    worst_first,
)

MODEL = ModelFacts(name="net", source="net.pt", fingerprint="", classes=2, parameters=9, input="", preprocessing="")
IMAGES = ImageFacts(name="photos", fingerprint="", count=9, labelled=9, classes=2)


def finding(verdict: str, check: str = "data.labels", claim: str = "Claim.", **more: Any) -> Finding:
    return Finding(check=check, verdict=Verdict(verdict), claim=claim, criterion="", **more)


def audit(*findings: Finding, **changes: Any) -> Audit:
    facts = {
        "status": "complete",
        "created": "",
        "seconds": 1,
        "command": "",
        "seed": 0,
        "environment": {},
        "guides": {},
    }
    return Audit(**{**facts, "model": MODEL, "images": IMAGES, "findings": worst_first(findings), **changes})


def test_a_problem_comes_first_in_the_words_of_the_worst_finding() -> None:
    found = audit(
        finding("warn", claim="5% of the labels are wrong."),
        finding("fail", "stability.scale", "Scaling changes 54% of predictions.", severity=0.9),
        finding("fail", "reliance.cue", "A watermark decides 30% of predictions.", priority=1),
        finding("pass"),
        finding("skipped", "fairness.groups"),
    )
    assert found.summary == [
        "Not entirely. A watermark decides 30% of predictions.",
        "Findings: 2 problems, 1 warning, 1 passed, 1 skipped.",
        "Not tested: fairness.groups.",
    ]


def test_a_warning_is_no_problem() -> None:
    found = audit(finding("warn", claim="5% of the labels are wrong."), finding("inconclusive"), finding("error"))
    assert found.summary[0] == "Perhaps not entirely. 5% of the labels are wrong."


def test_passes_say_what_was_tested() -> None:
    found = audit(finding("pass", "reliance.cue"), finding("pass", "data.labels"), finding("inconclusive"))
    assert found.summary == [
        "As far as tested, yes: no problem was found in data and reliance.",
        "Findings: 1 inconclusive, 2 passed.",
    ]


@pytest.mark.parametrize("verdict", ["inconclusive", "error"])
def test_where_most_findings_are_open_nothing_is_concluded(verdict: str) -> None:
    found = audit(finding("pass"), finding(verdict, "reliance.cue"))
    assert found.summary[0] == "Not known: 1 of 2 findings reached no verdict."


def test_without_a_check_of_the_reasons_nothing_is_said_of_them() -> None:
    found = audit(finding("pass", "performance.accuracy"), finding("inconclusive", "reliance.cue"), finding("pass"))
    assert found.summary[0] == (
        "No problem was found in data and performance, but its reasons were not tested: no reliance check passed."
    )


def test_only_skipped_checks_answer_nothing() -> None:
    checks = [f"reliance.check{i}" for i in range(8)]
    assert audit(*(finding("skipped", check) for check in checks)).summary == [
        "Not known: no check could run.",
        "Findings: 8 skipped.",
        f"Not tested: {', '.join(checks[:6])} and 2 more.",
    ]


def test_an_empty_audit_and_a_running_one_answer_nothing() -> None:
    assert audit().summary == ["Not known: no check about this model ran."]
    assert audit(status="running").summary == ["Not known yet: the audit is still running."]
    running = audit(finding("pass"), status="running")
    assert running.summary == ["Not known yet: the audit is still running.", "Findings: 1 passed."]
    assert audit(finding("fail"), status="running").summary[0] == "Not entirely. Claim."
    assert audit(status="interrupted").summary == ["Not known yet: the audit was interrupted."]


def test_a_check_that_found_something_is_not_called_untested() -> None:
    assert len(audit(finding("pass", "reliance.texture"), finding("skipped", "reliance.texture")).summary) == 2


@given(st.lists(st.sampled_from(list(Verdict))), st.sampled_from(["running", "complete"]))
def test_it_says_yes_only_without_a_problem_and_always_fits(verdicts: list[Verdict], status: str) -> None:
    found = audit(*(finding(verdict, f"data.check{i}") for i, verdict in enumerate(verdicts)), status=status)
    assert 1 <= len(found.summary) <= 5
    says_yes = found.summary[0].startswith("As far as tested, yes")
    assert not says_yes or (Verdict.PASS in verdicts and not {Verdict.FAIL, Verdict.WARN} & set(verdicts))
    assert all(f"{verdicts.count(v)} " in found.summary[1] for v in found.verdicts())


def test_it_stands_in_the_file_and_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    found = audit(finding("fail", claim="A watermark [decides] 30% of predictions."))
    text = audit_to_json(found)
    assert json.loads(text)["summary"] == found.summary
    assert audit_from_json(text).summary == found.summary
    print_findings(found)
    shown = capsys.readouterr().out
    assert "Is net right for the right reasons?\nNot entirely. A watermark [decides] 30% of predictions.\n" in shown
