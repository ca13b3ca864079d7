"""The server: one application with a router for each page, and the page itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from deeptroubles.errors import DeeptroublesError, RunFolderError
from deeptroubles.serving.jobs import Jobs, TooManyJobsError
from deeptroubles.serving.pages import (
    attack_lab,
    catalogue,
    data,
    fairness,
    findings,
    images,
    job_list,
    microscope,
    thumbnails,
    what_if,
)
from deeptroubles.serving.workbench import NotComputableError, Workbench

PAGE = Path(__file__).with_name("page")
"""The page as it was built from `frontend/` (see `hatch_build.py`)."""
PAGES = (attack_lab, catalogue, data, fairness, findings, images, job_list, microscope, thumbnails, what_if)
"""Each has `router(bench, jobs)`, and `exported(bench)`: the addresses that a static copy needs."""
_STATUS = {TooManyJobsError: 429, NotComputableError: 409}


def make_app(bench: Workbench, root_path: str = "") -> FastAPI:
    """The application, without the guard around it.

    Args:
        bench: What is looked at.
        root_path: Where a proxy puts the server, such as `/tools/troubles`.
    """
    jobs = Jobs()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await run_in_threadpool(jobs.close)

    app = FastAPI(
        title="deeptroubles", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan
    )
    app.state.jobs = jobs
    app.exception_handler(DeeptroublesError)(_refused)
    for page in PAGES:
        app.include_router(page.router(bench, jobs), prefix="/api")
    app.mount("/assets", StaticFiles(directory=PAGE / "assets", check_dir=False))

    @app.get("/{_address:path}", include_in_schema=False)
    def whole_page(_address: str) -> HTMLResponse:
        """The page; what it shows is in the address."""
        if _address.startswith("api/"):
            raise HTTPException(404, "There is no such address.")
        return HTMLResponse(page_html(root_path), headers={"cache-control": "no-cache"})

    return app


def page_html(root_path: str) -> str:
    """The page, with its links relative to where the server is.

    Raises:
        RunFolderError: The page was not built when the package was installed.
    """
    try:
        html = (PAGE / "index.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(
            "The page is missing from this installation: run `make setup` in a checkout, or reinstall deeptroubles."
        ) from None
    return html.replace("<!--deeptroubles:base-->", f'<base href="{escape(root_path)}/">')


def _refused(_request: Request, error: Exception) -> JSONResponse:
    """What was asked for is not possible, and why."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"detail": str(error)}, status)
