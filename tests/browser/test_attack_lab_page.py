"""The attack lab as a person uses it: choose, attack, watch, stop, save."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import accessible
from tests.served import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served") / "run") as running:
        _ = running.bench.recording
        yield running


@pytest.fixture
def lab(server, visit):
    page = visit(server.entrance, allow="status of 400")
    page.get_by_role("link", name="Attack lab").click()
    page.get_by_role("heading", name="Attack lab").wait_for()
    page.get_by_label("Attack", exact=True).wait_for()
    return page


def test_an_attack_runs_and_its_pictures_are_files(lab):
    lab.get_by_label("Attack", exact=True).select_option("pgd")
    lab.get_by_label("Target").fill("horse")
    lab.get_by_label("steps").fill("5")
    lab.get_by_label("epsilon").fill("0.3")
    accessible(lab)
    lab.get_by_role("button", name="Attack", exact=True).click()
    expect(lab.get_by_text("A click on a picture saves it")).to_be_visible()
    expect(lab.locator(".claim")).to_contain_text("redict")
    with lab.expect_download() as saved:
        lab.get_by_role("link", name="after").click()
    assert saved.value.suggested_filename.endswith(".png")
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    accessible(lab)


def test_an_attack_is_watched_and_stopped(lab):
    lab.get_by_label("Attack", exact=True).select_option("square")
    lab.get_by_label("steps").fill("500000")
    lab.get_by_label("epsilon").fill("0")
    lab.get_by_role("button", name="Attack", exact=True).click()
    lab.get_by_alt_text("What the attack tries now").wait_for()
    expect(lab.get_by_text(re.compile(r"^[\d,]+ predictions"))).to_be_visible()
    lab.get_by_role("button", name="Stop", exact=True).first.click()
    expect(lab.get_by_text("This was stopped before it was done.")).to_be_visible()
    expect(lab.get_by_text("the last picture that was tried")).to_be_visible()


def test_an_attack_in_the_address_that_does_not_exist_shows_the_first(server, lab):
    lab.goto(f"{server.address}/attack?method=nothing")
    expect(lab.get_by_label("Attack", exact=True)).to_have_value("pgd")


def test_a_setting_that_is_not_allowed_is_said(lab):
    lab.get_by_label("steps").fill("0")
    lab.evaluate("document.querySelector('form').noValidate = true")
    lab.get_by_role("button", name="Attack", exact=True).click()
    expect(lab.get_by_role("alert")).to_contain_text("steps=0 is not allowed by pgd")


def test_the_choice_is_in_the_address(lab):
    lab.get_by_label("Attack", exact=True).select_option("one_pixel")
    lab.get_by_role("group", name="Thumbnails").get_by_role("button").nth(7).click()
    lab.wait_for_url("**method=one_pixel**image=7**")
    lab.reload()
    expect(lab.get_by_label("Attack", exact=True)).to_have_value("one_pixel")
    expect(lab.get_by_alt_text("Image 7")).to_be_visible()
    lab.get_by_role("button", name="Map where one pixel matters").click()
    expect(lab.get_by_role("heading", name="The largest fall of")).to_be_visible()
    accessible(lab)
