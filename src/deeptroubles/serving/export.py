"""The page as files that open from disk, on a stick or behind any web server: all that is known, nothing to compute.

index.html, assets/            the page
data/<address>.js              what the server would answer, as a script: pages on disk may load scripts, but no data
files/<address>                pictures
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from deeptroubles.errors import RunFolderError
from deeptroubles.progress import track
from deeptroubles.run.files import write_whole
from deeptroubles.serving.app import PAGE, PAGES, make_app, page_html
from deeptroubles.serving.pages.thumbnails import keep_table
from deeptroubles.serving.workbench import Workbench

_HEAD = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'self' file:; "
    "style-src 'self' file:; img-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'\">"
    '<meta name="deeptroubles" content="static">'
)


@dataclass(frozen=True)
class Answer:
    """What the server gave."""

    status: int
    kind: str
    body: bytes


def export_page(bench: Workbench, out: Path) -> list[str]:
    """Write the page and all that it can show without computing.

    Where the model is there, it sees the images first, so that the copy has their predictions and small pictures.

    Args:
        bench: What is looked at.
        out: The folder; it must not exist or be empty.

    Returns:
        The addresses that could not be written, with the reason; usually none.

    Raises:
        RunFolderError: The folder is not empty, or cannot be written, or the page was not built.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunFolderError(f"{out} is not empty; choose another folder with --out.")
    html = page_html("").replace('<base href="/">', _HEAD)
    if bench.can_compute:
        with bench.computing():
            keep_table(bench)
    addresses = list(dict.fromkeys(address for page in PAGES for address in page.exported(bench)))
    try:
        with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own, as notebooks do
            writing = _write_answers(make_app(bench), addresses, out)
            missing = thread.submit(copy_context().run, asyncio.run, writing).result()
        shutil.copytree(PAGE / "assets", out / "assets")
    except BaseException:
        for part in ("data", "files", "assets"):  # so that the same command can begin again
            shutil.rmtree(out / part, ignore_errors=True)
        raise
    write_whole(out / "index.html", html.encode())
    return missing


def file_name(address: str) -> str:
    """The name of an address's file: letters, digits, dots and dashes stay; of the rest `_` and hex."""
    return re.sub(rb"[^A-Za-z0-9.-]", lambda byte: b"_%02x" % byte[0][0], address.encode()).decode()


async def _write_answers(app: ASGIApp, addresses: Iterable[str], out: Path) -> list[str]:
    missing = []
    for address in track(list(addresses), "Exporting"):
        answer = await _get(app, f"/api{address}")
        name = file_name(address)
        if answer.status != 200:
            missing.append(f"{address}: {answer.body.decode(errors='replace')[:200]}")
        elif answer.kind.startswith("application/json"):
            text = f"deeptroublesAnswer({json.dumps(name)},{answer.body.decode()});"
            write_whole(out / "data" / f"{name}.js", text.encode())
        else:
            write_whole(out / "files" / name, answer.body)
    return missing


async def _get(app: ASGIApp, address: str) -> Answer:
    """Ask the application as a server would."""
    path, _, query = address.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("localhost", 0),
    }
    start: Message = {}
    body: list[bytes] = []
    asked: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not asked:
            await asyncio.Event().wait()  # nobody leaves before the end; who waits for that is cancelled then
        return asked.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.append(message.get("body", b""))

    await app(scope, receive, send)
    kind = dict(start["headers"]).get(b"content-type", b"").decode()
    return Answer(start["status"], kind, b"".join(body))
