from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from deeptroubles import report
from deeptroubles.errors import RunFolderError
from deeptroubles.findings import audit_schema, audit_to_json

ROOT = Path(__file__).resolve().parents[2]


def load_sample() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_sample", Path(__file__).with_name("sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sample = load_sample()
needs_bundle = pytest.mark.skipif(not report.BUNDLE.is_file(), reason="the page is not built: run `make setup`")


class Scripts(HTMLParser):
    """Collects the scripts that a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str | None] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._inside = tag == "script"
        if self._inside:
            self.kinds.append(dict(attrs).get("type"))
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


@needs_bundle
def test_text_of_an_audit_cannot_break_out_of_the_page() -> None:
    audit = sample.sample_audit()
    page = report.render(audit)
    scripts = Scripts()
    scripts.feed(page)
    assert sorted(map(str, scripts.kinds)) == ["application/json", "module"]
    assert "img" not in scripts.tags
    inlined = scripts.texts[scripts.kinds.index("application/json")]
    assert not set(inlined) & set("<>&\u2028\u2029")
    assert json.loads(inlined) == json.loads(audit_to_json(audit))
    assert sample.XSS in json.loads(inlined)["images"]["unreadable"][1]["path"]


@needs_bundle
def test_a_model_name_cannot_break_out_of_the_title() -> None:
    audit = sample.sample_audit(findings=[])
    hostile = type(audit.model)(
        **{**audit.model.__dict__, "name": "</title><script>alert(1)</script>\u2028<!--deeptroubles:audit-->"}
    )
    page = report.render(type(audit)(**{**audit.__dict__, "model": hostile}))
    scripts = Scripts()
    scripts.feed(page)
    assert sorted(map(str, scripts.kinds)) == ["application/json", "module"]
    assert page.count('id="audit"') == 1


@needs_bundle
def test_the_policy_blocks_all_requests() -> None:
    page = report.render(sample.sample_audit(findings=[]))
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data: blob:;")
    assert "connect-src" not in policy[1]
    assert page.index("Content-Security-Policy") < page.index("<script")


@needs_bundle
def test_writing_replaces_the_file_atomically_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    report.write_report(sample.sample_audit(findings=[]), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


@needs_bundle
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deeptroubles.run.files.os.replace", full)
    with pytest.raises(RunFolderError, match="The disk is full"):
        report.write_report(sample.sample_audit(findings=[]), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_page_is_reported_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "BUNDLE", tmp_path / "bundle.html")
    with pytest.raises(RunFolderError, match="make setup"):
        report.render(sample.sample_audit(findings=[]))


def test_the_schema_of_the_page_matches_python() -> None:
    written = json.loads((ROOT / "frontend" / "audit.schema.json").read_text(encoding="utf-8"))
    assert written == audit_schema(), "regenerate frontend/audit.schema.json from audit_schema()"
