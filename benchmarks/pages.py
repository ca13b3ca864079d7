"""How long the pages of `deeptroubles serve` take in a real Chromium: `python benchmarks/pages.py`."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.served import Server, serving

from deeptroubles import load_classifier, load_images
from deeptroubles.serving.workbench import Opened
from deeptroubles.workflows.units import keep_technique

LAYER = "_swish@1"
"""The last convolution of the embedded network, with 1,280 units."""
ROUNDS = 7
WINDOW = {"viewport": {"width": 1280, "height": 900}, "bypass_csp": True}
"""The policy of the page forbids what Playwright waits with."""
SHOWN = """
Array.from(document.querySelectorAll('.cell .tile > span')).length > 0 && performance.getEntriesByType('resource')
  .some((entry) => entry.name.includes('/sprites/') && entry.responseEnd > 0)
"""


def microscope(server: Server, browser: Browser) -> None:
    """The first view of a layer with 1,280 units: from the graph, and with an empty browser from its address."""
    bench = server.bench
    with bench.computing():
        subject = bench.recording.subject
        started = time.perf_counter()
        keep_technique(bench.store, subject, bench.engine, LAYER, "dataset")
    print(f"look at {len(subject.images)} images, keep 1,280 units: {time.perf_counter() - started:.1f} s")
    place = f"/m/{bench.classifier.fingerprint()[:8]}/{quote(LAYER, safe='')}"
    clicks, cold = [], []
    for _ in range(ROUNDS):
        page = browser.new_context(**WINDOW).new_page()
        page.goto(server.entrance)
        page.get_by_role("link", name="Microscope").click()
        page.get_by_role("link", name=LAYER, exact=True).wait_for()
        clicks.append(measured(page, lambda page=page: page.get_by_role("link", name=LAYER, exact=True).click()))
        page.context.close()
        context = browser.new_context(**WINDOW)
        context.request.get(server.entrance)  # the cookie
        page = context.new_page()
        cold.append(measured(page, lambda page=page: page.goto(f"{server.address}{place}", wait_until="commit")))
        context.close()
    for name, found in (("from the graph", clicks), ("from an empty browser", cold)):
        seconds, requests = [each[0] for each in found], sorted({each[1] for each in found})
        print(f"{name}: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, requests {requests}")


def measured(page: Page, act: Callable[[], object]) -> tuple[float, int]:
    """Seconds until the units stand there with their pictures, and the number of requests."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    started = time.perf_counter()
    act()
    page.wait_for_function(SHOWN)
    return time.perf_counter() - started, len([url for url in asked if not url.startswith("data:")])


with TemporaryDirectory() as folder, sync_playwright() as playwright:
    opened = Opened(load_classifier("efficientnet-lite0"), load_images("demo"))
    with serving(Path(folder) / "run", opened) as running:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        microscope(running, launched)
        launched.close()
