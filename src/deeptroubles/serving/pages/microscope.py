"""The microscope: the network's graph, its layers, and everything that is known about each of their units."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote

import numpy as np
import pandas as pd
import torch
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from deeptroubles.errors import ModelError
from deeptroubles.methods.units.feature_maps import feature_maps
from deeptroubles.models.clip import has_text_tower
from deeptroubles.network import LOGITS
from deeptroubles.pictures import picture
from deeptroubles.run.unit_store import UnitStore
from deeptroubles.serving.jobs import Job, Jobs
from deeptroubles.serving.kept_units import Graph, KeptUnits, LayerNode, LayerView, UnitView
from deeptroubles.serving.workbench import NotComputableError, Workbench
from deeptroubles.workflows.choices import UnitTechnique
from deeptroubles.workflows.unit_pictures import STARTS
from deeptroubles.workflows.units import graph_of, heat_colors, keep_technique

PATIENCE = 5.0
"""Seconds to wait for the model while a job uses it."""
LOOKS = 4
"""Images in the batch that is timed."""
BACKWARD = 3
"""A look with its gradient takes about as long as three without."""
DREAM_LOOKS = 40
TEXT_SECONDS = 15
UNIT_SECONDS = 0.01
"""For cutting out and packing the pictures of a unit."""
Name = Annotated[str, Query(min_length=1, max_length=300)]
Number = Annotated[int, Query(ge=0, le=10**9)]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """About how many seconds it takes to compute something; null where the model is busy.

    Attributes:
        dataset: All that the images say about the layer.
        picture: One unit, drawn twice.
        diversity: One unit, drawn four times.
        dream: One image.
        caricature: One image.
        text: One unit.
    """

    dataset: float | None = None
    picture: float | None = None
    diversity: float | None = None
    dream: float | None = None
    caricature: float | None = None
    text: float | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """How a unit responds to an image at every position.

    Attributes:
        row: The image.
        name: Its path.
        image: The image as the model takes it, as a data URI.
        map: The response, from the lowest (black) over red to the highest (white).
        low, high: The lowest and the highest response.
        grid: Height and width.
    """

    row: int
    name: str
    image: str
    map: str
    low: float
    high: float
    grid: tuple[int, int]


class Wanted(BaseModel):
    """What to compute.

    Attributes:
        layer: Name of the layer.
        technique: What.
        units: For which units; none for `dataset` and `caricature`.
        row: The image that `dream` and `caricature` start from.
        steps: Steps of the ascent.
    """

    layer: str = Field(min_length=1, max_length=300)
    technique: UnitTechnique
    units: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list, max_length=256)
    row: int | None = Field(default=None, ge=0)
    steps: int = Field(default=256, ge=1, le=2048)


class Microscope:
    """Answers the page's questions about a workbench."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._kept = KeptUnits(UnitStore(bench.path))
        self._graph: tuple[pd.DataFrame, list[list[str]]] | None = None
        self._costs: dict[str, float] = {}

    def graph(self) -> Graph:
        """The graph: as it is kept, or from the model, or without edges from the layers that are kept."""
        kept = self._kept.graph()
        if kept:
            return kept
        if not self._bench.can_compute:
            return Graph(layers=self._kept.others(set()), edges=[], others=[])
        if self._graph is None:
            with _patiently(self._bench):
                self._graph = graph_of(self._bench.classifier)
        return self._kept.graph_from(*self._graph)

    def node(self, layer: str) -> LayerNode:
        """A layer by its name. Raises HTTPException 404 where there is none."""
        graph = self.graph()
        for node in (*graph.layers, *graph.others):
            if node.name == layer:
                return node
        if layer == LOGITS and self._bench.can_compute:
            units = self._bench.classifier.classes
            return LayerNode(name=LOGITS, kind="", units=units, grid=None, receptive_field=None, kept=[])
        raise HTTPException(404, f"There is no layer {layer!r} with units.")

    def layer(self, layer: str) -> LayerView:
        """A layer and all of its units."""
        view = self._kept.layer(self.node(layer))
        possible = self._bench.can_compute and has_text_tower(self._bench.classifier)
        return replace(view, text_possible=possible)

    def unit(self, layer: str, unit: int) -> UnitView:
        """A unit."""
        self._check_unit(layer, unit)
        return self._kept.unit(layer, unit)

    def feature_map(self, layer: str, unit: int, row: int) -> FeatureMap:
        """How a unit responds to an image at every position."""
        self._check_unit(layer, unit)
        bench = self._bench
        if not bench.can_compute:
            raise NotComputableError("Feature maps need the model, which is not here.")
        if not bench.is_recorded:
            raise HTTPException(409, "The images have not been read yet.")
        self._check_row(row)
        with _patiently(bench):
            subject = bench.recording.subject
            pixels = subject.pixels([row])
            try:
                values = feature_maps(bench.classifier, pixels, layer, [unit])[0, 0].float().cpu().numpy()
            except ModelError as error:
                raise HTTPException(422, str(error)) from None
        if not np.isfinite(values).all():
            raise HTTPException(422, "The unit's response to this image is not a finite number.")
        low, high = float(values.min()), float(values.max())
        shares = (values - low) / (high - low) if high > low else np.zeros_like(values)
        return FeatureMap(
            row=row,
            name=str(subject.images.table["path"].iloc[row]),
            image=picture(pixels[0].cpu().numpy(), "").src,
            map=picture(heat_colors(shares), "").src,
            low=low,
            high=high,
            grid=(values.shape[0], values.shape[1]),
        )

    def costs(self, layer: str) -> Costs:
        """About how long it takes to compute what is missing for a layer."""
        units = self.node(layer).units
        look = self._seconds_per_look(layer) if self._bench.can_compute else None
        if look is None:
            return Costs()
        step, images = BACKWARD * look, len(self._bench.opened.images)
        return Costs(
            dataset=2 + 2 * look * images + UNIT_SECONDS * units,
            picture=STARTS["channel"] * 256 * step,
            diversity=STARTS["diversity"] * 256 * step,
            dream=DREAM_LOOKS * step,
            caricature=256 * (step + look),
            text=float(TEXT_SECONDS),
        )

    def start(self, wanted: Wanted, jobs: Jobs) -> int:
        """Compute something in the background; the number of the job."""
        bench, node = self._bench, self.node(wanted.layer)
        opened = bench.opened
        if any(unit >= node.units for unit in wanted.units):
            raise HTTPException(422, f"{node.name} has the units 0 to {node.units - 1}.")
        if wanted.technique in STARTS or wanted.technique == "text":
            if not wanted.units:
                raise HTTPException(422, f"Say for which units to compute {wanted.technique}.")
        elif wanted.technique in {"dream", "caricature"}:
            if wanted.row is None:
                raise HTTPException(422, f"Say from which image {wanted.technique} starts.")
            if wanted.row >= len(opened.images):
                raise HTTPException(422, f"There are the images 0 to {len(opened.images) - 1}.")
        if wanted.technique == "text" and not has_text_tower(bench.classifier):
            raise HTTPException(422, f"{bench.classifier.name} has no text tower; load a CLIP model as clip:NAME.")

        def work(_job: Job) -> None:
            with bench.computing():
                subject = bench.recording.subject
                if wanted.row is not None:
                    self._check_row(wanted.row)
                keep_technique(
                    bench.store,
                    subject,
                    bench.engine,
                    wanted.layer,
                    wanted.technique,
                    units=wanted.units,
                    row=wanted.row or 0,
                    steps=wanted.steps,
                    seed=bench.seed,
                )

        return jobs.start(f"{TITLES[wanted.technique]}: {wanted.layer}", work).id

    def picture_file(self, key: str, page: int) -> FileResponse:
        """A file with pictures, by the key of what it belongs to."""
        store = UnitStore(self._bench.path)
        entry = next((entry for entry in store.entries() if entry.key == key), None)
        if entry is None or entry.sprite is None or page >= len(entry.sprite.files):
            raise HTTPException(404, "There are no such pictures.")
        headers = {"cache-control": "private, max-age=3600"}
        return FileResponse(store.picture_file(entry, page), media_type="image/webp", headers=headers)

    def _check_unit(self, layer: str, unit: int) -> None:
        node = self.node(layer)
        if unit >= node.units:
            raise HTTPException(404, f"{layer} has the units 0 to {node.units - 1}.")

    def _check_row(self, row: int) -> None:
        count = len(self._bench.recording.subject.images)
        if row >= count:
            raise HTTPException(422, f"There are the images 0 to {count - 1}.")

    def _seconds_per_look(self, layer: str) -> float | None:
        """How long the network takes for one image up to a layer; None while a job uses the model."""
        if layer not in self._costs:
            bench = self._bench
            if not bench.lock.acquire(blocking=False):
                return None
            try:
                classifier = bench.classifier
                pixels = torch.full((LOOKS, classifier.channels, *classifier.size), 0.5, device=classifier.device)
                with torch.no_grad():
                    bench.network.activations(pixels[:1], [layer])
                    start = time.perf_counter()
                    bench.network.activations(pixels, [layer])
                self._costs[layer] = (time.perf_counter() - start) / LOOKS
            finally:
                bench.lock.release()
        return self._costs[layer]


TITLES: dict[str, str] = {
    "dataset": "Images of the units",
    "channel": "Feature visualization",
    "neuron": "Feature visualization (one neuron)",
    "negative": "Feature visualization (least)",
    "diversity": "Feature visualization (diverse)",
    "dream": "Deep dream",
    "caricature": "Caricature",
    "text": "Texts",
}


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of the microscope."""
    at = APIRouter(prefix="/microscope", tags=["microscope"])
    scope = Microscope(bench)

    @at.get("/graph")
    def graph() -> Graph:
        """The layers with units, and which of them reads which."""
        return scope.graph()

    @at.get("/layer")
    def layer(layer: Name) -> LayerView:
        """A layer and all of its units."""
        return scope.layer(layer)

    @at.get("/unit")
    def unit(layer: Name, unit: Number) -> UnitView:
        """All that is kept about a unit."""
        return scope.unit(layer, unit)

    @at.get("/map")
    def feature_map(layer: Name, row: Number, unit: Number) -> FeatureMap:
        """How a unit responds to an image at every position."""
        return scope.feature_map(layer, unit, row)

    @at.get("/costs")
    def costs(layer: Name) -> Costs:
        """About how long it takes to compute what is missing for a layer."""
        return scope.costs(layer)

    @at.get("/sprites/{key}/{page}", response_class=FileResponse)
    def sprite(key: str, page: int) -> FileResponse:
        """A file with pictures."""
        return scope.picture_file(key, page)

    @at.post("/compute", status_code=202)
    def compute(wanted: Wanted) -> int:
        """Compute a technique for a layer or some of its units in the background; the number of the job."""
        return scope.start(wanted, jobs)

    @at.post("/read", status_code=202)
    def read() -> int:
        """Read all images in the background, which feature maps need; the number of the job."""
        _ = bench.opened

        def work(_job: Job) -> None:
            with bench.computing():
                _ = bench.recording

        return jobs.start("Reading the images", work).id

    return at


def exported(bench: Workbench) -> Iterator[str]:
    """What a static copy asks: the graph, the layers that are kept, their units and pictures."""
    kept = KeptUnits(UnitStore(bench.path))
    yield "/microscope/graph"
    graph = kept.graph() or Graph(layers=kept.others(set()), edges=[], others=[])
    for node in (*graph.layers, *graph.others):
        if "dataset" in node.kept:
            text = quote(node.name, safe="!~*'()")
            yield f"/microscope/layer?layer={text}"
            yield from (f"/microscope/unit?layer={text}&unit={unit}" for unit in range(node.units))
    for entry in kept.store.entries():
        files = entry.sprite.files if entry.sprite else ()
        yield from (f"/microscope/sprites/{entry.key}/{page}" for page in range(len(files)))


@contextmanager
def _patiently(bench: Workbench) -> Iterator[None]:
    """Hold the model for a quick look. Raises HTTPException 409 while a job uses it."""
    if not bench.lock.acquire(timeout=PATIENCE):
        raise HTTPException(409, "The model is busy with a job; try again when it is done.")
    try:
        yield
    finally:
        bench.lock.release()
