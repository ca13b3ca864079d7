"""The findings, live: an audit is started from the page, and its report is what the report file shows."""

from __future__ import annotations

import pytest
from tests.browser.conftest import accessible
from tests.served import serving


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


def test_pages_are_reached_by_keyboard_and_reloaded(server, visit):
    page = visit(server.entrance)
    page.get_by_role("link", name="Microscope").press("Enter")
    page.wait_for_url("**/m")
    page.reload()
    assert page.get_by_role("link", name="Microscope").get_attribute("aria-current") == "page"
