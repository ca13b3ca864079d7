"""The page of data and fairness, as a person uses it."""

from __future__ import annotations

import re

import pytest
from tests.browser.conftest import accessible
from tests.served import opened, serving

COUNT = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("data") / "run", opened(COUNT, 32)) as running:
        yield running


def enter(server, visit, path="/data", **settings):
    page = visit(server.entrance, **settings)
    page.goto(server.address + path)
    page.get_by_role("navigation", name="Views of the data").wait_for()
    return page


def canvas_of(page):
    canvas = page.get_by_role("application")
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    return canvas, canvas.bounding_box()


def drag(page, *points):
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=3)
    page.mouse.up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible_and_fits_a_phone(server, visit, scheme):
    page = enter(server, visit, color_scheme=scheme, viewport={"width": 390, "height": 800})
    canvas_of(page)
    page.get_by_role("button", name="Select what is in view").click()
    page.get_by_role("table", name="Selected images").wait_for()
    page.get_by_role("button", name=re.compile("^image ")).first.click()
    tabs = page.get_by_role("navigation", name="Views of the data").get_by_role("button")
    for tab in [None, *range(1, tabs.count())]:
        if tab:
            tabs.nth(tab).click()
        page.wait_for_load_state("networkidle")
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_images_are_selected_by_box_and_lasso_and_looked_at(server, visit):
    page = enter(server, visit)
    _, box = canvas_of(page)
    left, top, right, bottom = box["x"] + 60, box["y"] + 12, box["x"] + box["width"] - 12, box["y"] + box["height"] - 45
    page.get_by_label("Box").check()
    drag(page, (left, top), (right, bottom))
    page.get_by_text(f"{COUNT} images selected").wait_for()
    _, box = canvas_of(page)  # the table beside it has made it narrower
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_label("Lasso").check()
    corners = [(-120, -120), (120, -120), (120, 120), (-120, 120), (-120, -100)]
    drag(page, *[(middle[0] + x, middle[1] + y) for x, y in corners])
    some = page.get_by_role("status").filter(has_text=re.compile(r"^\d+ images? selected$"))
    page.wait_for_function("!document.querySelector('.selected h2').textContent.startsWith('300')")
    assert 0 < int(some.text_content().split()[0]) < COUNT
    page.get_by_role("button", name=re.compile("^image ")).first.press("Enter")
    picture = page.get_by_role("img", name=re.compile("as the model takes it"))
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    link = page.get_by_role("link", name="Edit this image")
    assert re.fullmatch(r"/what-if\?image=\d+", link.get_attribute("href"))
    page.get_by_role("button", name="Close").first.click()
    page.get_by_role("button", name="Select none").click()
    assert page.get_by_role("table", name="Selected images").count() == 0


def test_the_plot_is_moved_and_read_by_keyboard(server, visit):
    page = enter(server, visit)
    canvas, _ = canvas_of(page)
    canvas.focus()
    for key in ("+", "+", "ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    page.keyboard.press("Enter")
    shown = page.get_by_role("status").filter(has_text="selected")
    shown.wait_for()
    assert int(shown.text_content().split()[0]) < COUNT
    page.keyboard.press("0")
    page.wait_for_timeout(100)
    page.keyboard.press("Enter")
    page.get_by_text(f"{COUNT} images selected").wait_for()


def test_axes_and_filters_stand_in_the_address(server, visit):
    page = enter(server, visit)
    page.get_by_role("combobox", name="Horizontal axis", exact=True).select_option("depth")
    page.get_by_role("combobox", name="Vertical axis", exact=True).select_option(label="dog")
    page.get_by_role("combobox", name="Only where", exact=True).select_option("camera")
    page.get_by_role("combobox", name="is", exact=True).select_option("new")
    page.get_by_text(f"100 of {COUNT} images").wait_for()
    page.get_by_role("combobox", name="Only where", exact=True).select_option("depth")
    page.get_by_label("to", exact=True).fill("10")
    add = page.get_by_role("button", name="Add")
    assert add.bounding_box()["x"] > page.get_by_label("to", exact=True).bounding_box()["x"]  # one row
    add.click()
    page.get_by_text(f"24 of {COUNT} images").wait_for()
    page.reload()
    page.get_by_text(f"24 of {COUNT} images").wait_for()
    page.get_by_role("application", name="images by depth and probability of dog").wait_for()
    page.get_by_role("button", name=re.compile("^camera: new")).click()
    page.get_by_text(f"71 of {COUNT} images").wait_for()


def test_a_map_of_a_layer_is_made_when_it_is_asked_for(server, visit):
    page = enter(server, visit)
    page.get_by_role("button", name="Map of a layer").click()
    page.get_by_role("application", name=re.compile("map, first axis, .*of the variance")).wait_for()
    assert page.get_by_role("combobox", name="Layer", exact=True).input_value()


def test_few_images_in_view_are_thumbnails(server, visit):
    page = enter(server, visit, "/data?x=depth")
    with page.expect_response(re.compile("/data/thumbnails/[01]")):
        canvas, box = canvas_of(page)
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, -600)
    page.wait_for_timeout(300)
    colors = """canvas => {
        const data = canvas.getContext('2d').getImageData(60, 12, canvas.width - 75, canvas.height - 60).data;
        return new Set(new Uint32Array(data.buffer)).size; }"""
    assert canvas.evaluate(colors) > 100


def test_a_confusion_opens_its_images(server, visit):
    page = enter(server, visit, "/data?tab=accuracy")
    cell = page.get_by_role("button", name=re.compile("images of .* predicted as")).first
    count = cell.text_content()
    cell.click()
    page.get_by_text(f"{count} images selected").wait_for()
    page.get_by_role("combobox", name="and by", exact=True).select_option("camera")
    page.get_by_role("button", name=re.compile("^class dog, camera old: .*n = 50$")).click()
    page.get_by_text("50 images selected").wait_for()


def test_thresholds_follow_the_cost(server, visit):
    page = enter(server, visit, "/data?tab=curves&group=camera&class=1")
    page.get_by_role("heading", name="ROC: dog against the rest").wait_for()
    row = page.get_by_role("row").filter(has=page.get_by_role("radio", name="single"))
    row.wait_for()
    before = row.text_content()
    slider = page.get_by_role("slider", name=re.compile("A false positive costs"))
    for _ in range(5):
        slider.press("ArrowRight")
    page.get_by_text("A false positive costs 1.8 times").wait_for()
    page.wait_for_function(
        "before => ![...document.querySelectorAll('.strategies tr')].some(r => r.textContent === before)", arg=before
    )
    page.get_by_role("radio", name="custom").check()
    page.get_by_role("slider", name="Threshold of new").fill("0")
    page.get_by_role("row", name=re.compile("^new .*100% ")).wait_for()


def test_the_four_steps_of_fairness(server, visit):
    page = enter(server, visit, "/data?tab=fairness&class=1")
    page.get_by_role("combobox", name="Groups", exact=True).select_option("camera")
    page.get_by_role("heading", name="See the gaps").wait_for()
    page.get_by_role("img", name=re.compile("^statistical parity difference: .*fair band$")).wait_for()
    page.get_by_role("combobox", name="Compare with", exact=True).select_option("new")
    page.get_by_text("old, compared with new").wait_for()
    page.get_by_role("button", name="Try all mitigations").click()
    page.get_by_role("heading", name="Compare before and after").wait_for(timeout=60_000)
    page.get_by_role("combobox", name="Measure", exact=True).select_option("Theil index")
    page.get_by_role("img", name=re.compile("^before: the model itself")).wait_for()
    accessible(page)


@pytest.mark.parametrize("labels", [True, False])
def test_few_images_and_images_without_labels_say_what_is_missing(tmp_path, visit, labels):
    what = opened(12, 32)
    if not labels:
        what.images.table["label"] = None
    with serving(tmp_path / "run", what) as running:
        page = enter(running, visit, "/data")
        canvas_of(page)
        page.get_by_role("button", name="Curves and thresholds").click()
        page.get_by_text("Thresholds need 30 labelled images" if labels else "The images have no labels").wait_for()
        page.get_by_role("button", name="Fairness", exact=True).click()
        if labels:
            page.get_by_role("combobox", name="Groups", exact=True).select_option("camera")
            page.get_by_text("No two groups have enough labelled images").wait_for()
        else:
            page.get_by_text("The images have no labels").wait_for()
        page.get_by_role("button", name="Slices and confusions").click()
        page.get_by_role(
            "table" if labels else "navigation", name=None if labels else "Views of the data"
        ).first.wait_for()


def test_reading_that_was_stopped_can_be_tried_again(tmp_path, visit):
    stopped = '{"id": 1, "title": "x", "state": "cancelled", "task": "", "done": 0, "total": 0, "error": ""}'
    with serving(tmp_path / "run", opened(12, 32)) as running:
        page = visit(running.entrance)
        events = {"content_type": "text/event-stream", "body": f"data: {stopped}\n\n"}
        page.route("**/api/jobs/*/events", lambda route: route.fulfill(**events), times=1)
        page.goto(f"{running.address}/data")
        page.get_by_text("This was stopped before it was done.").wait_for()
        page.get_by_role("button", name="Try again").click()
        canvas_of(page)


def test_a_folder_without_its_model_shows_what_it_holds(server, visit):
    page = enter(server, visit)
    canvas_of(page)  # the table is kept in the folder
    with serving(server.bench.path, with_model=False) as alone:
        page = enter(alone, visit)
        canvas_of(page)
        page.get_by_role("button", name="Select what is in view").click()
        page.get_by_role("button", name=re.compile("^image ")).first.click()
        page.get_by_role("region", name="One image").wait_for()
        for tab in ("Curves and thresholds", "Fairness"):
            page.get_by_role("button", name=tab, exact=True).click()
            page.get_by_text("This needs the model").wait_for()
        page.get_by_role("button", name="Slices and confusions").click()
        page.get_by_role("button", name=re.compile("images of .* predicted as")).first.wait_for()
