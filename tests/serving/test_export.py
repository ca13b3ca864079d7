"""The page as files: every answer that the page asks for is there, as the server gives it."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from tests.served import opened

from deeptroubles import audit
from deeptroubles.errors import RunFolderError
from deeptroubles.serving.app import PAGES, make_app
from deeptroubles.serving.export import export_page, file_name
from deeptroubles.serving.workbench import Workbench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder, what = tmp_path_factory.mktemp("exported") / "run", opened(12)
    audit(what.classifier, what.images, folder, checks=["data.balance", "performance"])
    bench = Workbench(folder, what)
    _ = bench.recording
    yield bench
    bench.close()


def test_every_answer_is_that_of_the_server(bench, tmp_path):
    assert export_page(bench, tmp_path / "page") == []
    client = TestClient(make_app(bench))
    addresses = {address for page in PAGES for address in page.exported(bench)}
    assert {"/about", "/audit"} <= addresses
    for address in addresses:
        answer, name = client.get(f"/api{address}"), file_name(address)
        if answer.headers["content-type"].startswith("application/json"):
            text = (tmp_path / "page" / "data" / f"{name}.js").read_text(encoding="utf-8")
            value = text.removeprefix(f'deeptroublesAnswer("{name}",').removesuffix(");")
            assert json.loads(value) == answer.json()
        else:
            assert (tmp_path / "page" / "files" / name).read_bytes() == answer.content


def test_the_page_is_marked_as_a_copy_and_may_ask_nothing(bench, tmp_path):
    export_page(bench, tmp_path)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<meta name="deeptroubles" content="static">' in html
    assert "default-src 'none'" in html
    assert "connect-src" not in html
    assert "<base" not in html
    assert [p.suffix for p in sorted((tmp_path / "assets").iterdir())] == [".js", ".css"]


def test_a_folder_that_holds_something_is_refused(bench, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty"):
        export_page(bench, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("address", "name"), [("/m/a b", "_2fm_2fa_20b"), ("/x?y=é", "_2fx_3fy_3d_c3_a9"), ("a.b-c_d", "a.b-c_5fd")]
)
def test_names_of_files(address, name):
    assert file_name(address) == name


def test_mentions_name_the_images_and_layers_of_every_finding(bench):
    client = TestClient(make_app(bench))
    told = {found["id"]: found for found in client.get("/api/audit/mentions").json()}
    findings = client.get("/api/audit").json()["findings"]
    assert len(told) == len(findings)
    shown = [item for finding in findings if finding["check"] == "performance.accuracy" for item in finding["evidence"]]
    rows = {each["picture"]["row"] for item in shown if item["kind"] == "image_grid" for each in item["items"]}
    assert rows
    assert told["performance.accuracy"]["images"] == sorted(rows)
    assert told["data.balance"]["images"] == []


def test_an_interrupted_export_can_be_repeated(bench, tmp_path, monkeypatch):
    def interrupted(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr("deeptroubles.serving.export.shutil.copytree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_page(bench, tmp_path / "page")
    monkeypatch.undo()
    assert export_page(bench, tmp_path / "page") == []
    assert (tmp_path / "page" / "index.html").is_file()
