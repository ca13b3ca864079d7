"""A real Chromium for the tests that open a report in a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

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
