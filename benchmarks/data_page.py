"""The data page with 10,000 images: frames per second while panning and zooming, time to the first view, requests.

    python benchmarks/data_page.py

Headless Chromium draws in software, without a GPU, and shows at most 60 frames a second.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.conftest import FLAGS, find_chromium
from tests.served import Server, opened, serving

from deeptroubles.methods.mitigation.thresholds import choose_thresholds

COUNT = 10_000
SECONDS = 4
MOVES = """async ([what, seconds]) => {
  const canvas = document.querySelector('.scatter-canvas'), box = canvas.getBoundingClientRect();
  const at = (x, y) => ({ bubbles: true, cancelable: true, pointerId: 1, clientX: box.x + x, clientY: box.y + y });
  const frame = () => new Promise(window.plainFrame);
  const times = [];
  canvas.setPointerCapture = () => {};
  if (what === 'panning') canvas.dispatchEvent(new PointerEvent('pointerdown', at(400, 300)));
  const start = await frame();
  for (let now = start; now < start + 1000 * seconds; now = await frame()) {
    times.push(now);
    const turn = (now - start) / 300;
    if (what === 'panning')
      canvas.dispatchEvent(new PointerEvent('pointermove', at(400 + 120 * Math.sin(turn), 300 + 90 * Math.cos(turn))));
    else
      canvas.dispatchEvent(new WheelEvent('wheel', { ...at(400, 300), deltaY: 25 * Math.sin(turn) }));
  }
  if (what === 'panning') canvas.dispatchEvent(new PointerEvent('pointerup', at(400, 300)));
  return times;
}"""
DRAWS = """() => {
  const canvas = document.querySelector('.scatter-canvas'), times = [];
  const request = window.requestAnimationFrame.bind(window);
  window.plainFrame = request;
  window.requestAnimationFrame = (work) => request((now) => {
    const started = performance.now();
    work(now);
    times.push(performance.now() - started);
  });
  window.drawTimes = times;
}"""


def main() -> None:
    """Print everything as a table."""
    with (
        TemporaryDirectory() as folder,
        serving(Path(folder) / "run", opened(COUNT, 32)) as server,
        sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(server.entrance)
        started = time.perf_counter()
        page.goto(f"{server.address}/data")
        page.get_by_role("application").wait_for(timeout=600_000)
        print(f"reading {COUNT} images for the first time: {time.perf_counter() - started:.1f} s")
        first_view(page, server)
        for density in (1, 2):
            frames(browser.new_context(viewport={"width": 1280, "height": 900}, device_scale_factor=density), server)
        browser.close()
    thresholds()


def first_view(page: Page, server: Server) -> None:
    """Seconds until the plot stands, and what was asked for."""
    times, requests = [], list[str]()
    page.on("request", lambda request: requests.append(request.url))
    for _ in range(5):
        requests.clear()
        started = time.perf_counter()
        page.goto(f"{server.address}/data")
        page.get_by_role("application").wait_for()
        times.append(time.perf_counter() - started)
    size = len(page.request.get(f"{server.address}/api/data/table").body())
    print(f"first view: {median(times):.2f} s, {len(requests)} requests, table of {size / 1e6:.1f} MB")


def frames(context: Any, server: Server) -> None:
    """Frames per second and the time that a frame takes to draw."""
    page = context.new_page()
    page.goto(server.entrance)
    for path in ("", "?color=camera&x=depth", "?x=class&y=camera&color=brightness"):
        page.goto(f"{server.address}/data{path}")
        page.get_by_role("application").wait_for()
        page.evaluate(DRAWS)
        for what in ("panning", "zooming"):
            page.evaluate("window.drawTimes.length = 0")
            steps = np.diff(page.evaluate(MOVES, [what, SECONDS]))
            draws = np.array(page.evaluate("window.drawTimes"))
            print(
                f"{what} {path or '(as it opens)'} at density {page.evaluate('devicePixelRatio')}: "
                f"{1000 / steps.mean():.0f} frames/s, longest {steps.max():.0f} ms, "
                f"script per frame {np.median(draws):.1f} ms (95%: {np.quantile(draws, 0.95):.1f} ms)"
            )
    context.close()


def thresholds() -> None:
    """How long thresholds of all strategies take: a slider asks for them while it moves."""
    random = np.random.default_rng(0)
    scores, positive, groups = random.random(COUNT), random.random(COUNT) < 0.5, random.integers(4, size=COUNT)
    started = time.perf_counter()
    choose_thresholds("equal opportunity", scores, positive, groups)
    print(f"thresholds of {COUNT} images in 4 groups: {time.perf_counter() - started:.2f} s for each strategy")


if __name__ == "__main__":
    main()
