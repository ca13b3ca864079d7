"""What if, as a person uses it: hide a part and see the prediction move, undo, drag sliders, ask why, what and how."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from tests.browser.conftest import accessible
from tests.served import opened, serving, various


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served") / "run", various(opened(beside=True))) as running:
        yield running


@pytest.fixture
def enter(server, visit):
    def open_page(image="0", **settings):
        page = visit(server.entrance.replace("/?", f"/what-if?image={image}&"), **settings)
        page.locator(".scores li").first.wait_for()
        return page

    return open_page


def steps(page):
    return page.get_by_role("list", name="History").get_by_role("button").all_inner_texts()


def shown(page):
    """The pixels of the canvas."""
    return np.array(
        page.evaluate("""() => { const c = document.querySelector('.edit-canvas canvas');
            return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }""")
    ).reshape(32, 32, 4)[..., :3]


def settled(page, count):
    """Wait until a step of the history was looked at."""
    last = page.get_by_role("list", name="History").get_by_role("listitem").nth(count - 1)
    expect(last).to_contain_text("%")


def drag(page, start, end):
    box = page.locator(".edit-canvas").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=5)
    page.mouse.up()


def test_a_part_is_hidden_with_the_brush_and_undone(server, enter):
    page = enter("3")
    assert np.array_equal(shown(page), server.bench.pixels(3))
    drag(page, (0.2, 0.2), (0.7, 0.3))
    settled(page, 2)
    assert steps(page) == ["Unedited", "Hidden"]
    hidden = (shown(page) == 128).all(-1)
    assert hidden.sum() > 16
    assert np.array_equal(shown(page)[~hidden], server.bench.pixels(3)[~hidden])
    page.keyboard.press("Control+z")
    expect(page.locator(".history [aria-current]")).to_have_text("Unedited")
    page.get_by_text("Difference: none").wait_for()
    assert np.array_equal(shown(page), server.bench.pixels(3))
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator(".history [aria-current]")).to_have_text("Hidden")


def test_the_page_shows_what_the_server_predicts(server, enter):
    page = enter("5")
    page.get_by_role("slider", name="Brightness").fill("0.3")
    settled(page, 2)
    look = page.evaluate(
        """fetch('/api/what-if/look', {method: 'POST', headers: {'content-type': 'application/json'},
        body: '{"image": 5, "edits": [{"kind": "brightness", "amount": 0.3}]}'}).then((a) => a.json())"""
    )
    texts = page.locator(".scores").first.locator("li strong").all_inner_texts()
    assert [int(float(text.rstrip("%")) + 0.5) for text in texts] == [round(100 * s["after"]) for s in look["scores"]]
    assert page.locator(".scores").count() == 2


def test_the_canvas_is_used_by_keyboard(enter):
    page = enter("2")
    canvas = page.get_by_role("application")
    canvas.focus()
    page.keyboard.press("1")
    for key in ("ArrowLeft", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    settled(page, 2)
    assert (shown(page) == 128).all(-1).sum() == 16
    page.keyboard.press("5")
    page.keyboard.press("Enter")  # picks up
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    settled(page, 3)
    assert steps(page) == ["Unedited", "Hidden", "Pasted"]
    assert (shown(page) == 128).all(-1).sum() == 32


def test_a_second_copy_is_pasted_and_pixels_are_cloned(server, enter):
    page = enter("4", viewport={"width": 1280, "height": 1200})
    before = server.bench.pixels(4)
    page.get_by_role("button", name="5 Copy").click()
    drag(page, (0.02, 0.02), (0.22, 0.22))  # picks up rows and columns 0 to 7
    box = page.locator(".edit-canvas").bounding_box()
    page.mouse.click(box["x"] + 0.64 * box["width"], box["y"] + 0.64 * box["height"])
    settled(page, 2)
    after = shown(page)
    assert steps(page) == ["Unedited", "Pasted"]
    assert any(
        np.array_equal(after[y : y + 7, x : x + 7], before[:7, :7]) for y in range(14, 20) for x in range(14, 20)
    )
    page.get_by_role("button", name="4 Clone").click()
    page.wait_for_timeout(100)  # no person is faster than that
    for at in (0.1, 0.9):
        page.mouse.click(box["x"] + at * box["width"], box["y"] + at * box["height"])
    settled(page, 3)
    assert steps(page) == ["Unedited", "Pasted", "Cloned"]
    assert np.array_equal(shown(page)[28, 28], before[3, 3])


def test_an_image_is_dropped_on_the_page(enter):
    page = enter("0")
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 10, 60)).save(buffer, "PNG")
    page.evaluate(
        """bytes => {
            const given = new DataTransfer();
            given.items.add(new File([new Uint8Array(bytes)], "x.png", {type: "image/png"}));
            document.querySelector(".what-if").dispatchEvent(
                new DragEvent("drop", {dataTransfer: given, bubbles: true, cancelable: true}));
        }""",
        list(buffer.getvalue()),
    )
    page.wait_for_url("**image=upload-*")
    page.locator(".scores li").first.wait_for()
    assert (shown(page) == [200, 10, 60]).all()


def test_a_slider_is_one_step_and_is_taken_back(server, enter):
    page = enter("1")
    hue = page.get_by_role("slider", name="Hue")
    for value in ("20", "40", "60"):
        hue.fill(value)
    settled(page, 2)
    assert steps(page) == ["Unedited", "Hue 60°"]
    page.get_by_label("Corruption").select_option("fog")
    settled(page, 3)
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("Mirror left and right").check()
    settled(page, 5)
    page.wait_for_function("document.querySelectorAll('.compare img').length === 3")
    page.wait_for_timeout(200)
    assert np.array_equal(shown(page), server.bench.pixels(1)[:, ::-1])


def test_why_what_is_near_and_how_it_responds(enter):
    page = enter("0")
    page.get_by_label("Method").select_option("gradient_x_input")
    page.get_by_label("Minus the class").select_option(index=1)
    page.get_by_role("button", name="Explain").click()
    page.locator(".explain").get_by_text("relevance").wait_for()
    page.get_by_role("button", name="Find the nearest").click()
    near = page.get_by_role("button", name=re.compile("Morph to image")).first
    near.click()
    page.get_by_label(re.compile("Morph to image"), exact=False).locator("visible=true").last.wait_for()
    settled(page, 2)
    assert "50%" in steps(page)[1]
    page.locator(".response").get_by_label("For").select_option("all")
    page.locator(".response").get_by_label("Vary").select_option("blend.share")
    page.get_by_role("button", name="Draw the curve").click()
    page.get_by_text("Mean over 40 images").wait_for()


def test_an_explanation_that_was_stopped_can_be_asked_for_again(enter):
    page = enter("0")
    stopped = '{"id": 1, "title": "x", "state": "cancelled", "task": "", "done": 0, "total": 0, "error": ""}'
    events = {"content_type": "text/event-stream", "body": f"data: {stopped}\n\n"}
    page.route("**/api/jobs/*/events", lambda route: route.fulfill(**events), times=1)
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("This was stopped before it was done.").wait_for()
    page.get_by_role("button", name="Explain", exact=True).click()
    page.locator(".explain").get_by_text("relevance").wait_for()


def test_images_are_found_and_uploaded(enter):
    page = enter("0")
    page.get_by_label("Find").fill("owl")
    expect(page.get_by_text(re.compile(r"of 40 images"))).not_to_have_text("40 of 40 images")
    page.locator(".picker-thumbnail").first.click()
    assert re.search(r"image=\d+", page.url)
    buffer = io.BytesIO()
    Image.new("RGB", (50, 60), (9, 99, 199)).save(buffer, "PNG")
    page.locator("input[type=file]").set_input_files(
        {"name": "x.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    page.wait_for_url("**image=upload-*")
    page.locator(".scores li").first.wait_for()
    assert (shown(page) == [9, 99, 199]).all()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_it_is_accessible_and_fits(enter, scheme, width):
    page = enter("0", color_scheme=scheme, viewport={"width": width, "height": 800})
    page.get_by_role("slider", name="Turn").fill("30")
    settled(page, 2)
    page.get_by_role("button", name="Draw the curve").click()
    page.locator(".response svg").first.wait_for()
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
