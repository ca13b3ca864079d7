"""The report in a real browser, opened from disk: on a desktop, on a phone and in print."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pypdfium2 import PdfDocument
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

from deeptroubles import report
from deeptroubles.findings import Column, Estimate, Finding, Heatmap, Heatmaps, Reference, Table, Verdict

pytestmark = pytest.mark.skipif(not report.BUNDLE.is_file(), reason="the page is not built: run `make setup`")

Open = Callable[..., Page]
FINDINGS = "article.finding"
ATTENTION = {Verdict.FAIL, Verdict.ERROR, Verdict.WARN}


def load_sample() -> ModuleType:
    path = Path(__file__).parents[1] / "report" / "sample.py"
    spec = importlib.util.spec_from_file_location("browser_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write_report(load_sample().sample_audit(), path)
    return path.as_uri()


@pytest.fixture
def open_report(browser: Browser, address: str) -> Iterator[Open]:
    """Open the report. No page may log anything, raise an error or request anything but itself."""
    pages: list[Page] = []
    problems: list[str] = []

    def check_request(url: str) -> None:
        if not url.startswith(("data:", "blob:", address)):
            problems.append(f"request: {url}")

    def open_page(hash_: str = "", width: int = 1280, **settings: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce", **settings)
        pages.append(page)
        page.set_default_timeout(10_000)
        page.on("console", lambda message: problems.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: check_request(request.url))
        page.goto(address + hash_)
        page.locator("h1").wait_for()
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_disk_without_messages_and_fits_the_screen(open_report: Open, width: int, scheme: str) -> None:
    page = open_report(width=width, color_scheme=scheme)
    expect(page.locator("h1")).to_have_text("Is efficientnet-lite0 right for the right reasons?")
    expect(page.locator(FINDINGS)).to_have_count(9)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    expect(page.get_by_text("Why it matters").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")  # raises for a broken image


def test_the_question_in_the_title_is_answered_below_it(open_report: Open) -> None:
    summary = load_sample().sample_audit().summary
    assert summary[0].startswith("Not entirely. ")
    expect(open_report().locator("h1 + .summary p")).to_have_text(summary)


def test_hostile_text_is_shown_and_not_executed(open_report: Open) -> None:
    page = open_report()
    expect(page.locator("h3", has_text="<script>alert(1)</script>")).to_have_count(1)
    assert page.locator("img[src='x']").count() == 0


def test_the_page_cannot_make_a_request(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    refused = page.evaluate(
        """async () => {
             const refused = [];
             document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
             await fetch("https://example.org/").catch(() => null);
             await new Promise((done) => Object.assign(new Image(), { onerror: done, src: "https://example.org/a" }));
             navigator.sendBeacon("https://example.org/", "all your data");
             await new Promise((done) => setTimeout(done, 100));
             return refused;
           }"""
    )
    page.close()
    assert sorted(refused) == ["connect-src", "connect-src", "img-src"]


def test_every_drawing_has_a_text_alternative(open_report: Open) -> None:
    silent = open_report().evaluate(
        """() => [...document.querySelectorAll("img, canvas, svg")].filter((drawing) =>
             !(drawing.getAttribute("alt") || drawing.closest("[aria-hidden=true]")
               || drawing.getAttribute("role") === "img" && drawing.getAttribute("aria-label")))
           .map((drawing) => drawing.outerHTML.slice(0, 200))"""
    )
    assert silent == []


def test_headings_are_in_order(open_report: Open) -> None:
    levels = open_report().evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((h) => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_landmarks_and_language(open_report: Open) -> None:
    page = open_report()
    assert page.locator("html").get_attribute("lang") == "en"
    assert (page.locator("header").count(), page.locator("main").count()) == (1, 1)
    assert page.title().startswith("efficientnet-lite0")


def test_filters_by_verdict_and_family_are_stored_in_the_url(open_report: Open) -> None:
    page = open_report()
    fail = page.get_by_role("button", name="Fail 2")
    fail.click()
    expect(fail).to_have_attribute("aria-pressed", "true")
    expect(page.locator(FINDINGS)).to_have_count(2)
    page.get_by_role("button", name="reliance 3").click()
    expect(page.locator(FINDINGS)).to_have_count(1)
    expect(page.locator(".overview-list li")).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text("Showing 1 of 9 findings.")
    assert page.url.endswith("#?verdict=fail&family=reliance")

    again = open_report("#?verdict=fail&family=reliance")
    expect(again.locator(FINDINGS)).to_have_count(1)
    again.get_by_role("button", name="Show all").click()
    expect(again.locator(FINDINGS)).to_have_count(9)


def test_findings_keep_the_order_of_the_audit(browser: Browser, tmp_path: Path) -> None:
    audit = load_sample().sample_audit()
    findings = audit.findings[::-1]
    report.write_report(dataclasses.replace(audit, findings=findings), tmp_path / "report.html")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator(FINDINGS)).to_have_count(9)
    overview, cards = (page.locator(part).all_text_contents() for part in (".overview-claim", f"{FINDINGS} h3"))
    page.close()
    assert cards == [finding.claim for finding in findings]
    assert overview == [finding.claim for finding in findings if finding.verdict in ATTENTION]


def test_findings_that_need_no_attention_are_one_line_until_they_are_opened(open_report: Open) -> None:
    page = open_report()
    folded = page.locator(f"{FINDINGS}:has(> details:not([open]))")
    verdicts = [finding.verdict for finding in load_sample().sample_audit().findings]
    expect(folded).to_have_count(sum(verdict not in ATTENTION for verdict in verdicts))
    assert all(card.bounding_box()["height"] < 45 for card in folded.all())
    shift = page.locator("[id='invariance.shift']")
    summary = shift.locator("summary").first
    expect(shift.locator(".criterion")).to_be_hidden()
    summary.press("Enter")
    expect(shift.locator(".criterion")).to_be_visible()
    summary.press("Space")
    expect(shift.locator(".criterion")).to_be_hidden()
    summary.click()
    expect(shift.locator(".criterion")).to_be_visible()


def in_view(page: Page, id_: str) -> bool:
    """Whether the heading is at the top of the screen, and what it is about below it."""
    box = page.locator(f"[id='{id_}'] h3").bounding_box()
    return box is not None and 0 <= box["y"] < 150 and page.locator(f"[id='{id_}'] > details[open]").count() == 1


@pytest.mark.parametrize("width", [1280, 768, 390])
@pytest.mark.parametrize("finding", ["performance.accuracy", "performance.confident_mistakes", "fairness.groups"])
def test_a_link_to_a_finding_lands_on_its_heading_and_opens_it(open_report: Open, width: int, finding: str) -> None:
    page = open_report(f"#{finding}", width=width)
    expect(page.locator(f"[id='{finding}']")).to_be_focused()
    assert in_view(page, finding)


def test_a_second_click_on_a_link_opens_what_was_folded_again(open_report: Open) -> None:
    page = open_report("#performance.accuracy")
    accuracy = page.locator("[id='performance.accuracy']")
    accuracy.locator("summary").first.press("Enter")
    expect(accuracy.locator(".criterion")).to_be_hidden()
    page.locator(".overview-list a", has_text="performance.accuracy").click()
    expect(accuracy.locator(".criterion")).to_be_visible()


def test_a_link_scrolls_to_a_finding(open_report: Open) -> None:
    page = open_report("#invariance.shift")
    expect(page.locator("[id='invariance.shift']")).to_be_focused()
    assert in_view(page, "invariance.shift")
    page.evaluate("window.scrollTo(0, 0)")
    page.locator(".overview-list a", has_text="performance.confident_mistakes").click()
    expect(page.locator("[id='performance.confident_mistakes']")).to_be_focused()
    assert page.url.endswith("#performance.confident_mistakes")
    assert in_view(page, "performance.confident_mistakes")


def test_a_linked_finding_is_shown_despite_filters(open_report: Open) -> None:
    page = open_report("#reliance.masks-2?verdict=fail")
    expect(page.locator(FINDINGS)).to_have_count(3)
    expect(page.locator("[id='reliance.masks-2']")).to_be_focused()
    open_report("#no.such-%E0%A4%A")  # a malformed link still shows the page


def test_a_table_is_sorted_with_the_keyboard(open_report: Open) -> None:
    page = open_report()
    table = page.locator("[id='performance.accuracy'] table.data").first
    head = table.get_by_role("columnheader", name="Recall")
    column = table.locator("tbody tr td:nth-child(4)")
    expect(head).to_have_attribute("aria-sort", "none")
    written = column.all_inner_texts()
    assert len(written) == 12

    def numbers() -> list[float]:
        return [float(text.strip().removesuffix("%").strip()) for text in column.all_inner_texts()]

    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert numbers() == sorted(numbers(), reverse=True)
    page.keyboard.press("Space")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert numbers() == sorted(numbers())
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "none")
    assert column.all_inner_texts() == written

    page.get_by_role("button", name="Show all 200 rows").press("Enter")
    expect(table.locator("tbody tr")).to_have_count(200)
    head.get_by_role("button").press("Enter")
    assert column.last.inner_text() == "–"  # missing values are last


def test_an_interval_has_the_unit_of_the_column_to_its_left(browser: Browser, tmp_path: Path) -> None:
    columns = [
        Column(name="Accuracy", kind="share"),
        Column(name="95% interval", kind="interval"),
        Column(name="Correlation", kind="number"),
        Column(name="95% interval", kind="interval"),
    ]
    rows = [[0.42, [0.31, 0.54], 0.42, [0.31, 0.54]], [0.05, [-0.1, 0.2], 0.05, [-0.1, 0.2]]]
    table = Table(title="Intervals", columns=columns, rows=rows)
    finding = Finding(check="family.check", verdict=Verdict.PASS, claim="Claim.", criterion="", evidence=[table])
    report.write_report(load_sample().sample_audit([finding]), tmp_path / "report.html")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    cells = page.locator("[id='family.check'] td.cell-interval")
    expect(cells).to_have_text(["31–54%", "0.31–0.54", "−10% to 20%", "−0.1 to 0.2"])
    page.close()


def test_about_this_check_opens_with_the_keyboard(open_report: Open) -> None:
    page = open_report()
    finding = page.locator("[id='performance.accuracy']")
    summary = finding.locator("summary", has_text="About this check")
    summary.focus()
    page.keyboard.press("Enter")
    expect(finding.get_by_text("Why it matters")).to_be_visible()
    expect(finding.locator(".guide li")).to_have_count(4)
    link = finding.get_by_role("link", name="https://example.org/labels")
    assert link.get_attribute("rel") == "noreferrer"
    assert link.get_attribute("href") == "https://example.org/labels"


def test_every_control_is_reachable_by_tab(open_report: Open) -> None:
    page = open_report("#?family=reliance")
    expected = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button:not(:disabled), input:not(:disabled), summary,"
             + " [tabindex='0']")].filter((element) => element.checkVisibility())
             .map((element, i) => (element.dataset.at = i, i))"""
    )
    reached = set()
    for _ in range(len(expected) + 10):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.at"))
    assert {str(i) for i in expected} <= reached
    page.locator(".toggle").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_an_image_is_enlarged_and_closed_with_the_keyboard(open_report: Open) -> None:
    page = open_report("#invariance.shift")
    opener = page.locator("[id='invariance.shift'] .enlarge").first
    opener.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 of 6")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("2 of 6")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_heatmaps_change_opacity_switch_off_and_show_their_values(open_report: Open) -> None:
    page = open_report("#reliance.background")
    group = page.locator("[id='reliance.background'] .evidence").first
    heat = group.locator(".heat").first
    group.get_by_role("slider").fill("0.3")
    expect(heat).to_have_css("opacity", "0.3")
    group.get_by_role("button", name="Image").click()
    expect(heat).to_have_css("opacity", "0")
    group.get_by_role("button", name="Overlay").click()
    expect(heat).to_have_css("opacity", "0.3")
    heat.hover(position={"x": 60, "y": 60}, force=True)
    expect(group.locator(".readout")).to_have_text(re.compile(r"^−?0\.\d+$"))
    description = group.locator(".color-bar").get_attribute("aria-label")
    assert description == "Color scale: Change of the log-odds when hidden, from −1 to 1"


def test_numbers_in_cells_have_enough_contrast(browser: Browser, tmp_path: Path) -> None:
    levels = tuple(i / 20 for i in range(21))
    ramps = [
        Heatmaps(
            title=str(sign),
            items=[Heatmap(values=[levels], caption="", alt="a ramp")],
            scale_label="x",
            low=sign,
            high=1,
            diverging=sign < 0,
        )
        for sign in (0, -1)
    ]
    audit = load_sample().sample_audit()
    finding = dataclasses.replace(audit.findings[0], evidence=ramps)
    report.write_report(dataclasses.replace(audit, findings=[finding]), tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    page.locator(".heat-number").first.wait_for()
    contrasts = page.locator(".axes-heatmap svg").evaluate_all(
        """svgs => Promise.all(svgs.map(async (svg) => {
             const picture = new Image();
             picture.src = svg.querySelector("image").getAttribute("href");
             await picture.decode();
             const context = document.createElement("canvas").getContext("2d");
             context.drawImage(picture, 0, 0);
             const luminance = (color) => {
               const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
               const [red, green, blue] = color.map((v) => linear(v / 255));
               return 0.05 + 0.2126 * red + 0.7152 * green + 0.0722 * blue;
             };
             return [...svg.querySelectorAll(".heat-number")].map((number, i) => {
               const text = getComputedStyle(number).fill.match(/\\d+/g).map(Number);
               const [a, b] = [luminance(text), luminance([...context.getImageData(i, 0, 1, 1).data].slice(0, 3))];
               return Math.max(a / b, b / a);
             });
           }))"""
    )
    page.close()
    assert [len(each) for each in contrasts] == [len(levels)] * 2
    assert min(min(each) for each in contrasts) >= 4.5


def test_unmeasured_cells_are_transparent(open_report: Open) -> None:
    page = open_report()
    alphas = (
        page.get_by_alt_text("Grad-CAM of a cat")
        .nth(1)
        .evaluate(
            """async (image) => {
                 await image.decode();
                 const canvas = document.createElement("canvas");
                 [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
                 const context = canvas.getContext("2d");
                 context.drawImage(image, 0, 0);
                 const column = context.getImageData(canvas.width / 2, 0, 1, canvas.height).data;
                 return [column[3], column.at(-1)];
               }"""
        )
    )
    assert alphas == [0, 255]


def test_a_world_map_shows_its_values(open_report: Open) -> None:
    page = open_report("#fairness.groups")
    world = page.locator(".world")
    readout = world.locator(".world-readout")
    assert world.locator("path[data-code]").count() > 170
    readouts = {
        "BR": "Brazil: 0 (12 images)",
        "IN": "India: −3.1 (12 images)",
        "MT": "Malta: 6 (12 images)",
        "AU": "Australia: no images",
        "RU": "Russia: −0.4 (12 images)",
    }
    for code, text in readouts.items():
        world.locator(f"[data-code={code}]").dispatch_event("pointermove")
        expect(readout).to_have_text(text)
    fills = {code: world.locator(f"[data-code={code}]").get_attribute("fill") for code in ("US", "IN", "MT", "AU")}
    assert fills["MT"] == "rgb(127,59,8)"  # beyond the scale: its last color
    assert fills["AU"].startswith("url(#")
    assert len(set(fills.values())) == 4
    expect(world.locator("[data-code=VA]")).to_have_class("world-dot world-dot-absent")  # a country without a value
    expect(world.locator("figcaption")).to_contain_text("Not on the map: Rød-Panda")
    world.locator("summary").press("Enter")
    expect(world.locator("tbody tr")).to_have_count(8)
    assert page.evaluate("document.querySelectorAll(\".world-map path[d*='NaN']\").length") == 0


def test_a_curve_shows_its_values(open_report: Open) -> None:
    page = open_report("#performance.calibration")
    curve = page.locator(".curve").first
    curve.locator("svg[role=img]").hover(position={"x": 330, "y": 120})
    expect(curve.locator(".readout")).to_contain_text("efficientnet-lite0")
    curve.locator("summary").press("Enter")
    expect(curve.locator("tbody tr")).to_have_count(10)


def test_estimates_are_written_out(open_report: Open) -> None:
    page = open_report("#fairness.groups")
    text = page.locator("[id='performance.accuracy'] .estimate-text").first.inner_text()
    assert re.sub(r"\s+", " ", text) == "Accuracy 42% (31% to 54%, n = 1,024)"
    unknown = page.locator("[id='fairness.groups'] .estimate-text").last.inner_text()
    assert "interval unknown" in unknown


def test_in_print_everything_is_open_and_controls_are_hidden(open_report: Open) -> None:
    page = open_report("#?verdict=fail")
    page.emulate_media(media="print")
    expect(page.locator(FINDINGS)).to_have_count(9)
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.locator("[id='performance.accuracy'] table.data").first.locator("tbody tr")).to_have_count(200)
    assert page.locator("details:not([open])").count() == 0
    expect(page.get_by_text("Why it matters").first).to_be_visible()
    page.emulate_media(media="screen")
    expect(page.locator(FINDINGS)).to_have_count(2)
    expect(page.locator(".filters")).to_be_visible()


DRAWINGS = "[...document.querySelectorAll('img, svg image')].filter((drawing) => drawing.checkVisibility()).length"


def test_every_picture_is_printed_though_it_was_never_on_the_screen(open_report: Open) -> None:
    page = open_report()
    printed = PdfDocument(page.pdf())
    drawn = [picture for sheet in printed for picture in sheet.get_objects(filter=[FPDF_PAGEOBJ_IMAGE])]
    page.emulate_media(media="print")
    page.wait_for_function(f"{DRAWINGS} === {len(drawn)}", timeout=5000)  # the page opens what is folded a moment later


def test_a_page_that_is_printed_as_soon_as_it_has_loaded_is_complete(
    print_to_pdf: Callable[[str], Path], address: str
) -> None:
    sheets = [sheet.get_textpage().get_text_bounded() for sheet in PdfDocument(print_to_pdf(address))]
    audit = load_sample().sample_audit()
    guided = [finding for finding in audit.findings if finding.check in audit.guides]
    assert sum(text.count("Why it matters") for text in sheets) == len(guided)  # what is folded on the screen is open


CONTRASTS = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = parse(color).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (parse(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.querySelectorAll(".badge-word, .quiet, .count, .check-name, .facts dt, .filter-state, .note");
  return [...texts].map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    return [element.textContent, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_badges_and_secondary_text_have_enough_contrast(open_report: Open, scheme: str) -> None:
    contrasts = open_report(color_scheme=scheme).evaluate(CONTRASTS)
    words = {text for text, _ in contrasts}
    assert {"Fail", "Error", "Warning", "Inconclusive", "Pass", "Skipped"} <= words
    assert [(text, contrast) for text, contrast in contrasts if contrast < 4.5] == []


@pytest.fixture
def open_findings(browser: Browser, tmp_path: Path) -> Iterator[Callable[[list[Finding], int], Page]]:
    """Open a report of other findings, on a screen of some width."""
    page = browser.new_page()

    def open_page(findings: list[Finding], width: int) -> Page:
        report.write_report(load_sample().sample_audit(findings), tmp_path / "report.html")
        page.set_viewport_size({"width": width, "height": 800})
        page.goto((tmp_path / "report.html").as_uri())
        return page

    yield open_page
    page.close()


def test_passes_hardly_lengthen_the_page(open_findings: Callable[[list[Finding], int], Page]) -> None:
    shift = load_sample().shift()
    passes = [dataclasses.replace(shift, check=f"stability.check{i}") for i in range(30)]
    heights = [open_findings(some, 1280).evaluate("document.body.scrollHeight") for some in (passes[:1], passes)]
    assert heights[1] - heights[0] < 29 * 45


def test_a_page_without_problems_says_so(open_findings: Callable[[list[Finding], int], Page]) -> None:
    page = open_findings([load_sample().shift()], 1280)
    expect(page.locator(".summary p").first).to_have_text(re.compile("^No problem was found in invariance, but "))
    expect(page.locator(".overview")).to_contain_text("None of these findings needs attention.")
    empty = open_findings([], 1280)
    expect(empty.locator(".summary p")).to_have_text(["Not known: no check about this model ran."])
    expect(empty.locator("#findings")).to_contain_text("No findings to show.")


@pytest.mark.parametrize(("width", "columns"), [(1280, 10), (768, 8), (390, 4)])
def test_a_table_wraps_before_it_scrolls(
    open_findings: Callable[[list[Finding], int], Page], width: int, columns: int
) -> None:
    names = [Column(name="class"), *(Column(name=f"share of kind {i}", kind="share") for i in range(columns - 1))]
    table = Table(title="Many columns", columns=names, rows=[["football helmet", *[0.53] * (columns - 1)]])
    finding = Finding(check="family.check", verdict=Verdict.FAIL, claim="Claim.", criterion="", evidence=[table])
    page = open_findings([finding], width)
    region = page.locator("[id='family.check'] .scroll")
    assert region.evaluate("(region) => region.scrollWidth - region.clientWidth") <= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_before_and_after_stand_side_by_side(open_report: Open, width: int) -> None:
    page = open_report("#invariance.shift", width=width)
    tops = page.locator("[id='invariance.shift'] .strip img").evaluate_all(
        "(images) => images.slice(0, 3).map((image) => image.getBoundingClientRect().top)"
    )
    assert len(tops) == 3
    assert len(set(tops)) == 1


def test_three_hundred_images_load_fast(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    sample = load_sample()
    report.write_report(sample.sample_audit([sample.mistakes(300)]), path)
    page = browser.new_page()
    page.goto(path.as_uri())
    expect(page.locator(".pictures li")).to_have_count(300)
    seconds = page.evaluate("performance.now()") / 1000
    page.close()
    assert seconds < 5


# --- what is usual, and what holds for nearly every network


def compared(value: float, references: tuple[Reference, ...]) -> Estimate:
    return Estimate(label="Broken", value=value, low=value, high=value, n=16, fail_at=0.5, references=references)


@pytest.fixture
def common_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A report with a pass about this network and a problem of nearly every network."""
    references = (
        Reference(name="ResNet-A", value=0.875, source="measured on photographs", date="2026-11-27"),
        Reference(name="ResNet-B", value=1.0, source="measured on photographs", date="2026-11-27"),
        Reference(name="Trained against it", value=0.04, source="A. Author et al.", date="2020"),
    )
    own = Finding(check="data.balance", verdict=Verdict.PASS, claim="Classes are balanced.", criterion="c")
    common = Finding(
        check="adversarial.some",
        verdict=Verdict.FAIL,
        claim="Small changes break 94% of images.",
        criterion="c",
        common=True,
        evidence=[compared(0.94, references)],
    )
    audit = dataclasses.replace(load_sample().sample_audit([common, own]), durations={"adversarial.some": 12.3})
    path = tmp_path / "report.html"
    report.write_report(audit, path)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    yield page
    page.close()


def test_a_problem_of_nearly_every_network_stands_apart_and_is_not_counted(common_page: Page) -> None:
    expect(common_page.locator(".summary")).to_contain_text("No problem was found in data")
    expect(common_page.locator("#findings article")).to_have_count(1)
    apart = common_page.locator("#common")
    expect(apart.locator("h2")).to_have_text("True of nearly every network that was not trained against it")
    expect(apart.locator("article h3")).to_have_text("Small changes break 94% of images.")
    expect(common_page.locator(".overview-list")).to_have_count(2)


def test_the_values_of_known_networks_stand_beside_an_estimate(common_page: Page) -> None:
    lines = common_page.locator(".comparison li").all_text_contents()
    assert lines == [
        "ResNet-A 88%, ResNet-B 100% (measured on photographs, 2026-11-27)",
        "Trained against it 4.0% (A. Author et al., 2020)",
    ]
    marks = common_page.locator(".estimate-bar .usual")
    assert [marks.nth(i).get_attribute("x1") for i in range(3)] == ["87.5%", "100%", "4%"]


def test_the_seconds_of_a_check_stand_beside_its_findings(common_page: Page) -> None:
    times = common_page.locator(".duration", has_text="Measured")
    expect(times).to_contain_text(["Measured in 12.3\u202fs."])
