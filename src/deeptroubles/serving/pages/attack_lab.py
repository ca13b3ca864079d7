"""The attack lab: any attack of the catalogue on images of the run, watched as it goes, stopped at will."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, HTTPException
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Curve, Heatmap, Heatmaps, Series
from deeptroubles.methods.attacks.shared.pixel_map import pixel_map
from deeptroubles.methods.catalogue import METHODS, Method, parse_settings
from deeptroubles.pictures import as_data_uri, picture
from deeptroubles.progress import watching
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.workbench import Workbench
from deeptroubles.workflows.attack import Attacked, attack_images

EVERY = 0.15
"""Seconds between two pictures of an attack that is watched."""
GRID = 32
"""Rows and columns of pixels, at most, of the map that says where one pixel matters."""
TOP = 3
Index = Annotated[int, Field(ge=0)]


class AttackOrder(BaseModel):
    """An attack to run.

    Attributes:
        method: Its name in the catalogue.
        rows: The images, by their place in the run.
        target: The class to reach. Default: any other.
        classes: The classes, for attacks on several.
        box: Where a masked attack may paint: top, left, bottom, right.
        settings: Further parameters of the method, as texts.
    """

    model_config = ConfigDict(extra="forbid")

    method: str
    rows: Annotated[list[Index], Field(max_length=10)] = []
    target: Index | None = None
    classes: Annotated[list[Index], Field(max_length=10)] = []
    box: tuple[Index, Index, Index, Index] | None = None
    settings: dict[Annotated[str, Field(max_length=60)], Annotated[str, Field(max_length=200)]] = {}


class PixelMapOrder(BaseModel):
    """Where one pixel matters in an image, by its place in the run."""

    model_config = ConfigDict(extra="forbid")

    row: Index


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of the attack lab."""
    at = APIRouter(prefix="/attack", tags=["attack lab"])

    @at.post("", status_code=202)
    def start(order: AttackOrder) -> int:
        """Run an attack in the background; the number of the job, whose steps are what it tries."""
        method = _method(order.method)
        settings = parse_settings(method, [f"{name}={value}" for name, value in order.settings.items()])
        _check(bench, order)

        def work(job: Job) -> dict[str, Any]:
            with bench.lock:
                subject, predicted = bench.recording.subject, bench.recording.predicted
                images = subject.pixels(order.rows) if order.rows else torch.empty(0)
                labels = [int(predicted[row]) for row in order.rows]
                left = labels[0] if labels and order.target is None else None
                watcher = Watcher(
                    job, images[0] if len(order.rows) == 1 else None, left, order.target, subject.classifier
                )
                with watching(watcher):
                    found = attack_images(
                        subject.classifier,
                        method,
                        images,
                        labels,
                        target=order.target,
                        classes=order.classes,
                        box=order.box,
                        settings=settings,
                    )
            return _told(found)

        return jobs.start(f"Attack: {method.name}", work).id

    @at.post("/pixel-map", status_code=202)
    def start_pixel_map(order: PixelMapOrder) -> int:
        """Change each pixel of an image alone, in the background; the job gives the probabilities of its class."""
        _check(bench, AttackOrder(method="", rows=[order.row]))

        def work(_job: Job) -> dict[str, Any]:
            with bench.lock:
                recording = bench.recording
                classifier, label = recording.subject.classifier, int(recording.predicted[order.row])
                rows, columns = (np.unique(np.linspace(0, n - 1, min(n, GRID)).astype(int)) for n in classifier.size)
                image = recording.subject.pixels([order.row])[0]
                lowest = pixel_map(classifier, image, label, rows.tolist(), columns.tolist())
                before = float(recording.probabilities[order.row, label])
            name = classifier.class_names[label]
            change = lowest.cpu().double().numpy() - before
            text = f"The largest fall of {name} when one pixel is changed, from {percent(before)}"
            item = Heatmap(
                values=change.round(4).tolist(), caption=name, alt=text, picture=picture(image.cpu().numpy(), name)
            )
            limit = float(max(np.abs(change).max(), 0.01))
            shown = Heatmaps(
                title=text, items=(item,), low=-limit, high=limit, diverging=True, scale_label="change of probability"
            )
            return asdict(shown)

        return jobs.start("Where one pixel matters", work).id

    return at


def _method(name: str) -> Method:
    method = METHODS.get(name)
    if method is None or method.family != "attacks":
        raise HTTPException(404, f"There is no attack {name!r}.")
    return method


def _check(bench: Workbench, order: AttackOrder) -> None:
    """Refuse images and classes that do not exist before the job begins."""
    classifier, count = bench.classifier, len(bench.opened.images)
    if any(row >= count for row in order.rows):
        raise HTTPException(422, f"The images are 0 to {count - 1}.")
    wanted = [*order.classes, *([] if order.target is None else [order.target])]
    if any(each >= classifier.classes for each in wanted):
        raise HTTPException(422, f"The classes are 0 to {classifier.classes - 1}.")
    if order.box:
        top, left, bottom, right = order.box
        if not (top < bottom <= classifier.size[0] and left < right <= classifier.size[1]):
            raise HTTPException(422, "The box must have an area and lie inside of the image.")


class Watcher:
    """Shows a job the most successful picture of what an attack tries, a few times in a second.

    Args:
        job: Whose step it becomes.
        clean: The unchanged image, C x H x W; the difference from it is shown too.
        left: The class to be left, or
        target: the class to be reached. Without both the most confident picture counts.
        classifier: Names the classes.
    """

    def __init__(self, job: Job, clean: Tensor | None, left: int | None, target: int | None, classifier: Any) -> None:
        self._job, self._clean, self._left, self._target = job, clean, left, target
        self._names = classifier.class_names
        self._looks, self._last = 0, 0.0

    def __call__(self, pixels: Tensor, logits: Tensor) -> None:
        """A batch was tried."""
        self._looks += len(pixels)
        now = time.monotonic()
        if now - self._last < EVERY or not len(pixels):
            self._job.changed()
            return
        self._last = now
        shares = logits.detach().softmax(1)
        if self._target is not None:
            best = int(shares[:, self._target].argmax())
        elif self._left is not None:
            best = int(shares[:, self._left].argmin())
        else:
            best = int(shares.amax(1).argmax())
        top = shares[best].topk(min(TOP, shares.shape[1]))
        shown = pixels[best].detach().float().cpu()
        self._job.show(
            {
                "looks": self._looks,
                "picture": picture(shown.numpy(), "What the attack tries now").src,
                "difference": self._difference(shown),
                "top": [
                    [self._names[k], round(p, 4)]
                    for k, p in zip(top.indices.tolist(), top.values.double().tolist(), strict=True)
                ],
            }
        )

    def _difference(self, shown: Tensor) -> str | None:
        if self._clean is None or self._clean.shape != shown.shape:
            return None
        difference = shown - self._clean.cpu()
        largest = float(difference.abs().max())
        amplified = 0.5 + difference / (2 * largest) if largest > 0 else torch.full_like(difference, 0.5)
        return picture(amplified.numpy(), "The difference from the unchanged image, amplified").src


def _told(found: Attacked) -> dict[str, Any]:
    """The result of an attack, as the page gets it."""
    return {
        "claim": found.claim,
        "columns": found.columns,
        "pictures": [
            {
                "title": each.title,
                "src": as_data_uri(each.png, "image/png"),
                "named": each.named,
                "probability": each.probability,
                "goal": each.goal,
                "note": each.note,
                "side": max(Image.open(io.BytesIO(each.png)).size),
            }
            for each in found.pictures
        ],
        "curves": [asdict(_curve(name, x, y)) for name, (x, y) in found.curves.items()],
    }


_VARIED = {"degrees": "angle of the patch, degrees", "scale": "size of the patch, in its own"}


def _curve(name: str, x: Sequence[float], y: Sequence[float]) -> Curve:
    return Curve(
        title=f"The patch in the center of every image, by its {name}",
        x_label=_VARIED[name],
        y_label="mean probability of the class",
        series=[Series(name="with the patch", x=list(x), y=list(y))],
        y_range=(0.0, 1.0),
    )


def exported(_bench: Workbench) -> Iterator[str]:
    """Nothing: an attack computes."""
    yield from ()
