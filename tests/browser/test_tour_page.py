"""The page of a tour in a real browser, opened from disk."""

from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect
from tests.browser.conftest import accessible

from deeptroubles import report
from deeptroubles.tour.page import write_page
from deeptroubles.tour.shared.drawing import grid, over_pictures
from deeptroubles.tour.stop import Chapter, Number, Shown, Tour, Visited

pytestmark = pytest.mark.skipif(not report.BUNDLE.is_file(), reason="the page is not built: run `make setup`")

SHOWN = Shown(
    see=["Look at the <cat>."],
    numbers=[
        Number(label="Share", value=0.5, low=0.2),
        Number(label="Difference", value=3.0, high=1.0, unit="number"),
        Number(label="Between", value=0.61, low=0.4, high=0.75),
    ],
    pictures=[
        grid("Pictures", torch.rand(6, 3, 16, 16), [f"picture {k}" for k in range(6)]),
        over_pictures("Maps", torch.randn(1, 4, 4), torch.rand(1, 3, 16, 16), ["a map"], "logit"),
    ],
    commands=["deeptroubles audit " + "a-very-long-name" * 12],
    tries=["Try this."],
)
STOPS = [
    Visited(name="one", title="The first", question="Is it?", status="shown", seconds=3, shown=SHOWN),
    Visited(
        name="two", title="The second", question="So?", status="failed", seconds=1, problem="ValueError: <b>no</b>"
    ),
    Visited(name="three", title="The third", question="And?"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("tour") / "index.html"
    write_page(Tour(chapters=[Chapter(title="Is it?", stops=STOPS)], quick=True, seed=0, version="1"), path)
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_readable_without_a_request(visit, address, width, scheme):
    page = visit(address, viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_have_text("What can be wrong with an image classifier")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("[...document.images].every(image => image.alt && image.naturalWidth > 0)")
    accessible(page)


def test_what_is_shown_failed_or_ahead_can_be_told_apart(visit, address):
    page = visit(address)
    expect(page.locator("article.stop")).to_have_count(3)
    expect(page.locator("#one .stop-numbers tbody tr")).to_have_count(3)
    texts = page.locator("#one .stop-numbers tbody tr").all_inner_texts()
    assert [("not as expected" in text) for text in texts] == [False, True, False]
    assert ["at least 20%" in texts[0], "at most 1" in texts[1], "40% to 75%" in texts[2]] == [True] * 3
    expect(page.locator("#two")).to_contain_text("This stop failed, and the tour continued: ValueError: <b>no</b>")
    expect(page.locator("#three")).to_contain_text("Not visited yet")
    expect(page.locator("#three")).to_contain_text("deeptroubles tour --only three")


def test_the_list_of_stops_leads_to_each(visit, address):
    page = visit(address)
    page.get_by_role("navigation", name="Stops").get_by_role("link", name="The third").click()
    expect(page.locator("#three")).to_be_in_viewport()
