"""The images with their labels and predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fastapi import APIRouter

from deeptroubles.serving.jobs import Jobs
from deeptroubles.serving.pages.thumbnails import Thumbnails, held, thumbnails_of
from deeptroubles.serving.workbench import Workbench


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
        thumbnails: Where their small pictures are.
        classes: Names of the classes.
    """

    ready: bool
    images: list[ImageFacts] = field(default_factory=list)
    thumbnails: Thumbnails = field(default_factory=lambda: Thumbnails(ready=False))
    classes: list[str] = field(default_factory=list)


def router(bench: Workbench, _jobs: Jobs) -> APIRouter:
    """Addresses of images."""
    at = APIRouter(prefix="/images", tags=["images"])

    @at.get("")
    def images() -> ImageList:
        """The images with their labels and predictions."""
        return _list(bench) if bench.is_recorded and held(bench) else ImageList(ready=False)

    return at


def exported(_bench: Workbench) -> Iterator[str]:
    """What a static copy needs."""
    yield "/images"


def _list(bench: Workbench) -> ImageList:
    recording = bench.recording
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
        thumbnails=thumbnails_of(bench),
        classes=list(recording.subject.classifier.class_names),
    )
