"""All images to look through: a table of what is known about each, and maps of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

import numpy as np
import pandas as pd
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response
from pydantic import TypeAdapter

from deeptroubles.methods.clustering.flat_map import Layout
from deeptroubles.run.unit_store import Entry
from deeptroubles.serving.jobs import Jobs
from deeptroubles.serving.pages.thumbnails import LAYER, held, recorded
from deeptroubles.serving.workbench import Workbench
from deeptroubles.workflows.browse import layers_to_map, map_of_layer

MAP = "map"
FEW_CLASSES = 20
"""A static copy has the probabilities of each class where there are no more."""
Kind = Literal["category", "number"]


@dataclass(frozen=True, kw_only=True)
class ImageColumn:
    """One fact about every image.

    Attributes:
        name: What it is.
        kind: `number`, or `category`, whose values are indices into `categories`.
        origin: `the model`, `your columns` or `the pixels`.
        values: One per image; null where it is not known.
        categories: The names of the categories, sorted.
    """

    name: str
    kind: Kind
    origin: str
    values: list[int | float | None]
    categories: list[str]


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """All images that can be read.

    Attributes:
        ready: Whether the table is there; POST /data/table makes it.
        paths: The name of each image.
        columns: What is known about them.
        classes: Names of the model's classes.
        layers: Layers of which there can be a map.
    """

    ready: bool
    paths: list[str]
    columns: list[ImageColumn]
    classes: list[str]
    layers: list[str]


@dataclass(frozen=True, kw_only=True)
class ImageMap:
    """A map of all images by a layer: similar ones are close together.

    Attributes:
        ready: Whether it is there; POST makes it.
        x: One per image; null where an image was left out.
        y: Likewise.
        explained: Share of the variance along each axis (PCA).
    """

    ready: bool
    x: list[float | None]
    y: list[float | None]
    explained: list[float] | None


Layer = Annotated[str, Query(max_length=300)]


def router(bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of the table and of maps."""
    at = APIRouter(prefix="/data", tags=["data"])
    written: dict[str, bytes] = {}

    @at.get("/table", response_model=ImageTable)
    def table() -> Response:
        """What is known about every image."""
        entry = held(bench)
        key = f"{entry.key} {bench.is_recorded}" if entry else ""
        if key not in written:
            written.clear()
            written[key] = _TABLE.dump_json(_table(bench, entry))
        return Response(written[key], media_type="application/json")

    @at.get("/probability")
    def probability(index: Annotated[int, Query(ge=0, alias="class")]) -> list[float]:
        """The probability of a class (its index) for every image."""
        recording = recorded(bench).recording
        if index >= recording.logits.shape[1]:
            raise HTTPException(404, "There is no such class.")
        return [round(float(value), 4) for value in recording.probabilities[:, index]]

    @at.get("/map")
    def layer_map(layer: Layer, layout: Layout = "pca") -> ImageMap:
        """Where every image is on the map of a layer."""
        return _map(bench, layer, layout)

    @at.post("/map", status_code=202)
    def make_map(layer: Layer, layout: Layout = "pca") -> int:
        """Make the map of a layer; the job's number."""
        _ = bench.opened
        _known_layer(bench, layer)
        return jobs.start(f"Map of {layer}", lambda _job: _keep_map(bench, layer, layout)).id

    return at


def exported(bench: Workbench) -> Iterator[str]:
    """What a static copy needs: the table, the maps that were made, and the probabilities of few classes."""
    yield "/data/table"
    for entry in bench.store.entries():
        if (entry.layer, entry.technique) == (LAYER, MAP) and held(bench, MAP, **entry.parameters):
            yield f"/data/map?layer={_quoted(entry.parameters['layer'])}&layout={entry.parameters['layout']}"
    if bench.is_recorded and bench.recording.logits.shape[1] <= FEW_CLASSES:
        yield from (f"/data/probability?class={k}" for k in range(bench.recording.logits.shape[1]))


_TABLE = TypeAdapter(ImageTable)


def _quoted(text: str) -> str:
    """As JavaScript's encodeURIComponent does it."""
    return quote(text, safe="!'()*-._~")


def _layers(bench: Workbench) -> list[str]:
    """The layers of which there can be a map; without a model, those of which there is one."""
    if bench.can_compute:
        return layers_to_map(bench.network)
    maps = [e for e in bench.store.entries() if (e.layer, e.technique) == (LAYER, MAP)]
    return list(dict.fromkeys(str(entry.parameters["layer"]) for entry in maps))


def _known_layer(bench: Workbench, layer: str) -> None:
    if layer not in _layers(bench):
        raise HTTPException(404, "There is no map of such a layer.")


def _map(bench: Workbench, layer: str, layout: Layout) -> ImageMap:
    entry = held(bench, MAP, layer=layer, layout=layout)
    if entry is None:
        _known_layer(bench, layer)
        return ImageMap(ready=False, x=[], y=[], explained=None)
    places = bench.store.table(entry)
    return ImageMap(
        ready=True, x=_numbers(places["x"]), y=_numbers(places["y"]), explained=entry.facts.get("explained")
    )


def _keep_map(bench: Workbench, layer: str, layout: Layout) -> None:
    """Make the map of a layer, and keep it in the run folder."""
    with bench.computing():
        recording = bench.recording
        if held(bench, MAP, layer=layer, layout=layout) is None:
            found = map_of_layer(recording, bench.engine, layer, layout, seed=bench.seed)
            places = pd.DataFrame(found.places.astype(np.float32), columns=["x", "y"])
            parameters, facts = {"layer": layer, "layout": layout}, {"explained": found.explained}
            bench.store.keep(LAYER, MAP, parameters, places, facts)


def _table(bench: Workbench, entry: Entry | None) -> ImageTable:
    if entry is None:
        return ImageTable(ready=False, paths=[], columns=[], classes=[], layers=[])
    table = bench.store.table(entry)
    origins = entry.facts["origins"]
    return ImageTable(
        ready=True,
        paths=list(table["path"]),
        columns=[_column(name, table[name], origin) for name, origin in origins.items()],
        classes=list(entry.facts["classes"]),
        layers=_layers(bench),
    )


def _column(name: str, values: pd.Series[Any], origin: str) -> ImageColumn:
    if pd.api.types.is_numeric_dtype(values):
        return ImageColumn(name=name, kind="number", origin=origin, values=[*_numbers(values)], categories=[])
    codes, categories = pd.factorize(values, sort=True)
    known: list[int | float | None] = [None if code < 0 else int(code) for code in codes]
    return ImageColumn(name=name, kind="category", origin=origin, values=known, categories=list(map(str, categories)))


def _numbers(values: pd.Series[Any]) -> list[float | None]:
    """Numbers with the digits that a plot needs, as JSON can hold them."""
    array = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in array]
