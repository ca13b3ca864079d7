"""The images with their labels and predictions, and small pictures of them, many to a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

import torch
from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import Response
from torch.nn import functional

from deeptroubles.pictures import sprite
from deeptroubles.serving.jobs import Jobs
from deeptroubles.serving.workbench import Workbench

SIDE = 56
"""Pixels of the longer side of a thumbnail, at most."""
COLUMNS, LINES = 16, 8
"""Thumbnails beside each other and below each other in a file."""
PER_PAGE = COLUMNS * LINES
KEPT = 64
"""Files of thumbnails in memory."""


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """An image.

    Attributes:
        row: Its place in the run.
        path: Where it is.
        label: Its class; -1 where it is not known.
        prediction: The predicted class.
        confidence: The probability of that class.
        has_mask: Whether the object in it is marked.
    """

    row: int
    path: str
    label: int
    prediction: int
    confidence: float
    has_mask: bool


@dataclass(frozen=True, kw_only=True)
class ImageList:
    """The images that could be read.

    Attributes:
        ready: Whether the model has seen them; POST /what-if/prepare starts that.
        images: One entry each, by row.
        width: Width of a thumbnail in pixels. Likewise `height`.
        columns: Thumbnails beside each other in a file.
        per_page: Thumbnails in a file; file i is /images/thumbnails/i.
        classes: Names of the classes.
    """

    ready: bool
    images: list[ImageFacts] = field(default_factory=list)
    width: int = 0
    height: int = 0
    columns: int = COLUMNS
    per_page: int = PER_PAGE
    classes: list[str] = field(default_factory=list)


def router(bench: Workbench, _jobs: Jobs) -> APIRouter:
    """Addresses of images."""
    at = APIRouter(prefix="/images", tags=["images"])

    @lru_cache(maxsize=KEPT)
    def drawn(page: int) -> bytes:
        return _sprite(bench, page)

    @at.get("")
    def images() -> ImageList:
        """The images with their labels and predictions."""
        return _list(bench) if bench.is_recorded else ImageList(ready=False)

    @at.get("/thumbnails/{page}", response_class=Response)
    def thumbnails(page: Annotated[int, Path(ge=0, lt=2**31)]) -> Response:
        """A file of small pictures (WebP)."""
        if not bench.is_recorded or page * PER_PAGE >= len(bench.recording.logits):
            raise HTTPException(404, "There is no such file of thumbnails.")
        return Response(drawn(page), media_type="image/webp", headers={"cache-control": "no-cache"})

    return at


def exported(bench: Workbench) -> Iterator[str]:
    """What a static copy needs."""
    yield "/images"
    if bench.is_recorded:
        yield from (f"/images/thumbnails/{page}" for page in range(-(-len(bench.recording.logits) // PER_PAGE)))


def _list(bench: Workbench) -> ImageList:
    recording = bench.recording
    height, width = _size(bench)
    masked = set(recording.masked.tolist())
    best = recording.probabilities.max(1)
    return ImageList(
        ready=True,
        images=[
            ImageFacts(
                row=row,
                path=str(path),
                label=int(recording.targets[row]),
                prediction=int(recording.predicted[row]),
                confidence=round(float(best[row]), 6),
                has_mask=row in masked,
            )
            for row, path in enumerate(recording.subject.images.table["path"])
        ],
        width=width,
        height=height,
        classes=list(recording.subject.classifier.class_names),
    )


def _size(bench: Workbench) -> tuple[int, int]:
    height, width = bench.recording.subject.classifier.size
    scale = min(1.0, SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _sprite(bench: Workbench, page: int) -> bytes:
    rows = range(page * PER_PAGE, min((page + 1) * PER_PAGE, len(bench.recording.logits)))
    pixels = bench.recording.subject.pixels(list(rows)).float().cpu()
    small = functional.interpolate(pixels, _size(bench), mode="bilinear", antialias=True, align_corners=False)
    lines = -(-len(small) // COLUMNS)
    whole = torch.zeros(lines * COLUMNS, *small.shape[1:])
    whole[: len(small)] = small.clamp(0, 1)
    return sprite(whole.reshape(lines, COLUMNS, *small.shape[1:]).numpy())
