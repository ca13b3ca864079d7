"""The microscope, walked through as a person would: network, layer, unit, lenses, settings, keyboard."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import accessible
from tests.served import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("microscope") / "run") as running:
        yield running


@pytest.fixture(scope="module")
def layer(server):
    """A layer with positions."""
    from deeptroubles.network import unit_layers

    return unit_layers(server.bench.network)[1].name


@pytest.fixture
def look(server, layer, visit):
    """Opens a place in a layer that was analyzed on the images."""

    def opened(place="", **settings):
        page = visit(server.entrance, **settings)
        model = page.evaluate("fetch('/api/about').then((a) => a.json()).then((a) => a.model_id)")
        page.goto(f"{server.address}/m/{model}/{layer}{place}")
        return page

    first = opened()
    button = first.get_by_role("button", name=re.compile("Analyze the images"))
    button.or_(first.get_by_role("list", name="Units")).first.wait_for()
    if button.count():
        button.click()
    first.get_by_role("list", name="Units").wait_for(timeout=60000)
    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_the_network_to_a_unit_and_back(server, layer, look, visit, scheme):
    page = visit(server.entrance, color_scheme=scheme)
    page.get_by_role("link", name="Microscope").click()
    expect(page.get_by_role("heading", name="Microscope")).to_be_visible()
    accessible(page)
    page.keyboard.press("/")
    page.keyboard.type(layer)
    page.get_by_role("link", name=layer, exact=True).click()
    page.get_by_role("link", name=re.compile("^Unit 1\\b")).click()
    page.wait_for_url(re.compile("/1$"))
    expect(page.get_by_role("heading", name="Strongest images")).to_be_visible()
    page.get_by_role("img", name=re.compile("Histogram")).wait_for()
    accessible(page)
    page.keyboard.press("j")
    page.wait_for_url(re.compile("/2$"))
    page.get_by_role("heading", name=re.compile("Unit 2")).wait_for()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("/1$"))
    page.keyboard.press("Escape")
    page.get_by_role("list", name="Units").wait_for()
    accessible(page)
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("/m$"))


def test_settings_stand_in_the_address_and_survive_a_reload(look):
    page = look("/0")
    page.get_by_label("Size").select_option("64")
    page.get_by_label("Fit").select_option("crop")
    page.get_by_label("Pixels").select_option("pixelated")
    page.wait_for_url(re.compile("size=64.*"))
    page.reload()
    expect(page.get_by_label("Size")).to_have_value("64")
    tile = page.locator(".pictures .tile").first
    tile.wait_for()
    assert tile.bounding_box()["width"] == 64
    assert page.locator(".tile > .pixelated").count()
    page.get_by_role("tab", name="Text").click()
    page.wait_for_url(re.compile("technique=text"))
    page.get_by_role("heading", name="Words of your columns").wait_for()


def test_what_is_missing_is_computed_at_a_click(look):
    page = look("/3?technique=dream")
    page.get_by_role("button", name=re.compile("Dream from this image")).click()
    page.get_by_role("img", name=re.compile("Dream from")).wait_for(timeout=60000)
    page.get_by_role("tab", name="Dream").press("ArrowRight")
    expect(page.get_by_role("tab", name="Dataset samples")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Feature visualization").click()
    page.get_by_role("button", name=re.compile("Draw it")).click()
    page.get_by_role("img", name=re.compile("Channel picture")).first.wait_for(timeout=60000)
    page.get_by_role("img", name="Response of unit 3").wait_for()
    accessible(page)


def test_units_are_sorted_found_and_reached_by_arrows(look):
    page = look()
    page.get_by_label("Sort by").select_option("wins")
    shown = page.get_by_text(re.compile(r"^[\d,]+ wins?$"))
    shown.first.wait_for()
    wins = [int(text.split()[0].replace(",", "")) for text in shown.all_inner_texts()]
    assert wins == sorted(wins, reverse=True)
    page.get_by_label("Sort by").select_option("like")
    page.get_by_role("spinbutton", name="Unit").fill("2")
    page.get_by_role("link", name=re.compile("^Unit 2\\b")).wait_for()
    page.get_by_label("Sort by").select_option("number")
    page.keyboard.press("Escape")
    page = look()
    page.get_by_role("link", name=re.compile("^Unit 0\\b")).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name=re.compile("^Unit 2\\b"))).to_be_focused()
    page.get_by_label("Find").fill("1")
    page.get_by_role("status").filter(has_text="of").first.wait_for()
    assert page.get_by_role("link", name=re.compile("^Unit 2\\b")).count() == 0


def test_another_model_in_the_address_is_named(server, look):
    page = look()
    page.goto(f"{server.address}/m/00000000/a/0")
    page.get_by_role("heading", name="This address is for another model").wait_for()
    page.get_by_role("link", name="See its layers").click()
    page.get_by_role("heading", name="Microscope").wait_for()


def test_it_fits_a_narrow_screen(look):
    page = look("/1", viewport={"width": 360, "height": 700})
    page.get_by_role("heading", name="Strongest images").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_pictures_of_samples_do_not_overlap(look):
    page = look("/1", viewport={"width": 1280, "height": 900})
    page.get_by_role("heading", name="Strongest images").wait_for()
    samples = page.locator(".pictures").first.locator("button")
    boxes = [samples.nth(i).bounding_box() for i in range(samples.count())]
    assert len(boxes) > 2
    for left, right in pairwise(boxes):
        assert left["x"] + left["width"] <= right["x"] or left["y"] + left["height"] <= right["y"]
