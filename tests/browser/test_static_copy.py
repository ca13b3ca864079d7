"""A static copy opens from disk, shows what the run holds, offers nothing that computes and asks nobody."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import accessible
from tests.served import opened

from deeptroubles import audit
from deeptroubles.serving.export import export_page
from deeptroubles.serving.workbench import Workbench


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder, what = tmp_path_factory.mktemp("copied"), opened(12)
    audit(what.classifier, what.images, folder / "run", checks=["data.balance", "performance", "units.dead"])
    bench = Workbench(folder / "run", what)
    export_page(bench, folder / "page")
    bench.close()
    return f"file://{folder}/page/index.html"


def test_the_findings_are_read_from_disk(copy, visit):
    page = visit(copy)
    expect(page.get_by_role("heading", name="Is plain right for the right reasons?")).to_be_visible()
    expect(page.get_by_text("performance.accuracy").first).to_be_visible()
    accessible(page)


def test_its_pages_are_reached_and_reloaded(copy, visit):
    page = visit(copy)
    page.get_by_role("link", name="Attack lab").click()
    expect(page.get_by_text("Attacks need the model")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Attacks need the model")).to_be_visible()
    assert "#/attack" in page.url


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ("Microscope", "3 layers of plain"),
        ("What if", "To edit it, start the server"),
        ("Data and fairness", "Select what is in view"),
    ],
)
def test_every_page_shows_what_was_kept(copy, visit, link, text):
    page = visit(copy)
    page.get_by_role("link", name=link).click()
    page.get_by_text(text).first.wait_for()
    accessible(page)
    page.reload()
    page.get_by_text(text).first.wait_for()


def test_a_finding_has_an_address(copy, visit):
    page = visit(f"{copy}#units.dead")
    expect(page.locator("[id='units.dead']")).to_be_focused()
    page.get_by_text("Link to performance.accuracy").locator("xpath=ancestor::details").evaluate("d => d.open = true")
    page.get_by_role("link", name="Link to performance.accuracy").click()
    expect(page.locator("[id='performance.accuracy']")).to_be_focused()
