"""A real Chromium for the tests that open a report in a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    executable = find_chromium()
    if executable is None:
        reason = "no Chromium found: install one, or set CHROMIUM to its path"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return executable


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def print_to_pdf(chromium: str, tmp_path: Path) -> Callable[[str], Path]:
    """Print a page from the command line, as soon as it has loaded."""

    def print_page(address: str) -> Path:
        printed = tmp_path / "printed.pdf"
        settings = ["--headless", f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={printed}"]
        subprocess.run([chromium, *FLAGS, *settings, address], check=True, capture_output=True, timeout=60)
        return printed

    return print_page


expect.set_options(timeout=20_000)  # also where other work runs on the machine
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page in a browser of its own; fails on any request beyond this machine and on anything in the console.

    `allow` is a text of the console that is meant, such as that of a request that is refused.
    """
    contexts, problems = [], []

    def open_page(address: str, allow: str | None = None, **settings: Any) -> Page:
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: _is_problem(said, allow) and problems.append(said.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: _is_here(request.url) or problems.append(f"asked {request.url}"))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def _is_problem(said: ConsoleMessage, allow: str | None) -> bool:
    return said.type in {"error", "warning"} and not (allow and allow in said.text)


def _is_here(address: str) -> bool:
    place = urlsplit(address)
    return place.scheme in {"data", "blob", "file"} or place.hostname in {"127.0.0.1", "localhost"}


def accessible(page: Page) -> None:
    """Fails on what axe-core finds to be of serious or critical impact."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")["violations"]
    bad = [
        f"{v['id']}: {v['help']}: {[node['html'][:200] for node in v['nodes'][:3]]}"
        for v in found
        if v["impact"] in {"serious", "critical"}
    ]
    assert not bad, "\n".join(bad)
