"""The findings, live: an audit is started from the page, and its report is what the report file shows."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import accessible
from tests.served import opened, proxied, serving

from deeptroubles import audit


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "run") as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_is_started_from_the_page(server, visit, scheme):
    page = visit(server.entrance, color_scheme=scheme)
    accessible(page)
    page.get_by_role("button", name="Audit it").wait_for()
    page.evaluate("fetch('/api/audit?checks=data.balance,performance', {method: 'POST'})")
    page.reload()
    page.get_by_text("As far as tested").or_(page.get_by_text("Not")).first.wait_for()
    page.get_by_role("heading", name="Is plain right for the right reasons?").wait_for()
    page.get_by_text("performance.accuracy").first.wait_for()
    accessible(page)


def test_an_audit_that_cannot_be_read_is_not_taken_for_none(server, visit):
    page = visit(server.entrance, allow="status of 500")
    page.get_by_text("This model has not been audited yet").wait_for()
    failure = {"status": 500, "content_type": "application/json", "body": '{"detail": "The audit cannot be read."}'}
    page.route("**/api/audit", lambda route: route.fulfill(**failure))
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("The audit cannot be read.")
    expect(page.get_by_text("This model has not been audited yet")).to_have_count(0)


def test_pages_are_reached_by_keyboard_and_reloaded(server, visit):
    page = visit(server.entrance)
    page.get_by_role("link", name="Microscope").press("Enter")
    page.wait_for_url("**/m")
    page.reload()
    assert page.get_by_role("link", name="Microscope").get_attribute("aria-current") == "page"
    expect(page).to_have_title("Microscope · plain · deeptroubles")


def test_a_finding_links_to_what_it_is_about_and_back(tmp_path, visit):
    what = opened()
    audit(what.classifier, what.images, tmp_path / "run", checks=["performance.accuracy", "units.dead"])
    with serving(tmp_path / "run", what) as server:
        page = visit(server.entrance)
        page.get_by_text("performance.accuracy").first.wait_for()
        page.locator("details").evaluate_all("all => all.forEach((each) => (each.open = true))")
        page.get_by_role("link", name="Edit this image").first.click()
        expect(page).to_have_url(re.compile(r"/what-if\?image=\d+$"))
        page.get_by_role("heading", name="Findings about this image").wait_for()
        accessible(page)
        page.locator(".findings-about a").first.click()
        expect(page).to_have_url(re.compile("#performance.accuracy$"))
        expect(page.locator("[id='performance.accuracy']")).to_be_focused()
        layer = page.locator("[id='units.dead'] td.cell-text a").first
        layer.evaluate("each => each.closest('details').open = true")
        layer.click()
        page.get_by_role("button", name=re.compile("Analyze")).click()
        page.get_by_role("heading", name="Findings about this layer").wait_for()
        accessible(page)
        page.go_back()
        cell = page.locator("[id='performance.accuracy'] td.cell-text a").first
        cell.evaluate("each => each.closest('details').open = true")
        cell.click()
        page.get_by_text(re.compile(r"^\d+ of 40 images")).first.wait_for()
        assert "/data?" in page.url


def test_it_works_behind_a_proxy_that_puts_it_elsewhere(tmp_path, visit):
    with (
        serving(tmp_path / "run", root_path="/tools/troubles") as server,
        proxied(server, "/tools/troubles") as address,
    ):
        page = visit(address)
        page.get_by_role("button", name="Audit it").wait_for()
        page.get_by_role("link", name="Microscope").click()
        page.wait_for_url("**/tools/troubles/m")
        page.reload()
        page.locator(".graph, svg").first.wait_for()
