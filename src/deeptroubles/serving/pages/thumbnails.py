"""Pictures of the images: small ones of all in a few files, and each one as the model takes it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import FileResponse, Response
from PIL import Image

from deeptroubles.run.unit_store import Entry, Sprite
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.workbench import NotComputableError, Workbench
from deeptroubles.workflows.browse import tabulate, thumbnails

LAYER, TABLE = "images", "table"
"""Under these names the run folder lists the table of images, whose pictures are the thumbnails."""
Row = Annotated[int, Path(ge=0, lt=2**31)]


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """Where the small pictures are: row after row, `columns` beside each other, `per_page` in a file.

    Attributes:
        ready: Whether they are there; POST makes them.
        count: How many there are.
        width: Width of each in pixels.
        height: Height of each in pixels.
        columns: How many are beside each other.
        per_page: How many are in a file; the last file has fewer.
        pages: How many files there are: /data/thumbnails/0 and so on.
    """

    ready: bool
    count: int = 0
    width: int = 0
    height: int = 0
    columns: int = 0
    per_page: int = 0
    pages: int = 0


def held(bench: Workbench, technique: str = TABLE, **parameters: str) -> Entry | None:
    """What the run folder holds about all images; with a model, only what belongs to this version and these images."""
    if bench.can_compute:
        return bench.store.find(LAYER, technique, parameters) if bench.is_recorded else None
    entries = [entry for entry in bench.store.entries() if (entry.layer, entry.technique) == (LAYER, technique)]
    return next((entry for entry in reversed(entries) if entry.parameters == parameters), None)


def keep_table(bench: Workbench) -> Entry:
    """Make the table and the thumbnails, and keep them in the run folder."""
    found = held(bench)
    if found is None:
        browsed = tabulate(bench.recording, bench.engine)
        classes = list(bench.recording.subject.classifier.class_names)
        facts = {"origins": browsed.origins, "classes": classes}
        found = bench.store.keep(LAYER, TABLE, {}, browsed.table, facts, thumbnails(bench.recording))
    return found


def thumbnails_of(bench: Workbench) -> Thumbnails:
    """How the small pictures of all images are laid out."""
    entry = held(bench)
    if entry is None or entry.sprite is None:
        return Thumbnails(ready=False)
    return _facts(entry.sprite, len(bench.store.table(entry)))


def recorded(bench: Workbench) -> Workbench:
    """The workbench. Raises NotComputableError where its images were not shown to the model yet."""
    if not bench.is_recorded:
        _ = bench.opened
        raise NotComputableError("The images were not shown to the model yet; POST /data/table does it.")
    return bench


def row_of(bench: Workbench, row: int) -> int:
    """A row of the recording. Raises a 404 where there is none."""
    if row >= len(recorded(bench).recording.logits):
        raise HTTPException(404, f"There are only {len(bench.recording.logits)} images that can be read.")
    return row


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of pictures."""
    at = APIRouter(tags=["images"])

    @at.get("/data/thumbnails")
    def facts() -> Thumbnails:
        """How the small pictures of all images are laid out."""
        return thumbnails_of(bench)

    @at.post("/data/table", status_code=202)
    def make() -> int:
        """Show all images to the model, and make the table of all images and their thumbnails; the job's number."""
        _ = bench.opened

        def work(_job: Job) -> None:
            with bench.computing():
                keep_table(bench)

        return jobs.start("Reading the images", work).id

    @at.get("/data/thumbnails/{page}", response_class=FileResponse)
    def sprite(page: Row) -> FileResponse:
        """A file of small pictures (WebP)."""
        entry = held(bench)
        if entry is None or entry.sprite is None or page >= len(entry.sprite.files):
            raise HTTPException(404, "There is no such file of thumbnails.")
        return FileResponse(
            bench.store.picture_file(entry, page), media_type="image/webp", headers={"cache-control": "no-cache"}
        )

    @at.get("/images/{row}/picture", response_class=Response)
    def picture(row: Row) -> Response:
        """An image as the model takes it (WebP, lossless)."""
        pixels = bench.pixels(row_of(bench, row))
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]).save(
            buffer, "WEBP", lossless=True, method=2
        )
        return Response(buffer.getvalue(), media_type="image/webp", headers={"cache-control": "no-cache"})

    return at


def exported(bench: Workbench) -> Iterator[str]:
    """What a static copy needs; pictures of single images are left out where there are many."""
    yield "/data/thumbnails"
    entry = held(bench)
    if entry and entry.sprite:
        yield from (f"/data/thumbnails/{page}" for page in range(len(entry.sprite.files)))
    if bench.is_recorded and len(bench.recording.logits) <= MAX_EXPORTED:
        yield from (f"/images/{row}/picture" for row in range(len(bench.recording.logits)))


MAX_EXPORTED = 500
"""Of more images a static copy has thumbnails only."""


def _facts(sprite: Sprite, count: int) -> Thumbnails:
    return Thumbnails(
        ready=True,
        count=count,
        width=sprite.width,
        height=sprite.height,
        columns=sprite.columns,
        per_page=sprite.columns * sprite.rows,
        pages=len(sprite.files),
    )
