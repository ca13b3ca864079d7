"""What there is to browse: a table of all images, a thumbnail of each, and maps of how similar they are to a layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.nn import functional

from deeptroubles.engine import Arrays, Engine
from deeptroubles.images.decoding import gps_position
from deeptroubles.methods.clustering.flat_map import FlatMap, Layout, flat_map
from deeptroubles.methods.geography.countries import countries
from deeptroubles.methods.geography.places import places
from deeptroubles.methods.properties.image_properties import PARTS, image_properties
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.network import Network, layer_reducer, open_network, unit_layers
from deeptroubles.pictures import sprite
from deeptroubles.progress import track
from deeptroubles.recording import Recording
from deeptroubles.run.unit_store import SpriteSource
from deeptroubles.subject import Subject

MODEL, GIVEN, COMPUTED = "the model", "your columns", "the pixels"
"""Where a column comes from."""
SIDE, ACROSS = 48, 16
"""The longer side of a thumbnail in pixels at most; thumbnails in a row, and rows in a file."""


@dataclass(frozen=True)
class Browsed:
    """A table with one row per readable image.

    Attributes:
        table: `path`, and columns of numbers or of text (None where unknown).
        origins: Where each column other than the path comes from: MODEL, GIVEN or COMPUTED.
    """

    table: pd.DataFrame
    origins: dict[str, str]


def tabulate(recording: Recording, engine: Engine) -> Browsed:
    """What is known about each readable image: predictions, the user's columns, and properties of its pixels.

    Left out: columns without a value, and what is the same for all images, other than predictions. A column of the user
    that has the name of one of ours gets `(given)` behind it.
    """
    rows, source = range(len(recording.logits)), recording.subject.images.table
    seen = engine.map(_properties, recording.subject, rows, task="Computing image properties", chunk=64)
    parts = [(MODEL, _predictions(recording)), (COMPUTED, _computed(source, seen)), (GIVEN, _given(source))]
    table, origins = {"path": source["path"].astype(str)}, dict[str, str]()
    for origin, columns in parts:
        for name, values in columns.items():
            if values.isna().all() or (origin != MODEL and values.nunique(dropna=False) < 2):
                continue
            free = f"{name} (given)" if name in table else name
            table[free], origins[free] = values.reset_index(drop=True), origin
    return Browsed(pd.DataFrame(table), origins)


def thumbnails(recording: Recording) -> SpriteSource:
    """A small picture of each image as the model takes it, in the order of rows, 256 in a file."""
    count, (height, width) = len(recording.logits), recording.subject.classifier.size
    scale = min(1.0, SIDE / max(height, width))
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    return SpriteSource(
        pages=_pages(recording, high, wide),
        height=high,
        width=wide,
        columns=ACROSS,
        rows=ACROSS,
        count=-(-count // ACROSS),
    )


def layers_to_map(network: Network) -> list[str]:
    """The names of the layers whose units can be a map, the last one before the logits at the end."""
    return [layer.name for layer in unit_layers(network)][:-1]


def map_of_layer(recording: Recording, engine: Engine, layer: str, layout: Layout, *, seed: int = 0) -> FlatMap:
    """A map of all images by the mean activations of a layer.

    Raises:
        ModelError: There is no such layer, or it has no units.
    """
    rows = range(len(recording.logits))
    read = engine.map(_layer_means, recording.subject, rows, task=f"Reading {layer}", chunk=256, layer=layer)
    return flat_map(read["means"], layout, seed=seed)


def _predictions(recording: Recording) -> dict[str, pd.Series[Any]]:
    names, targets = recording.subject.classifier.class_names, recording.targets
    right = (recording.predicted == targets).tolist()
    return {
        "class": _texts([names[k] if k >= 0 else None for k in targets]),
        "prediction": _texts([names[k] for k in recording.predicted]),
        "probability": pd.Series(recording.probabilities.max(1)),
        "correct": _texts(
            [("yes" if hit else "no") if k >= 0 else None for hit, k in zip(right, targets, strict=True)]
        ),
    }


def _texts(values: Sequence[str | None]) -> pd.Series[Any]:
    """A column of texts that stays one where all are missing."""
    return pd.Series(np.array(values, dtype=object))


def _given(source: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """The user's columns as numbers or text, without text that never repeats."""
    found = {}
    for name in source.columns:
        values = source[name]
        if name in {"path", "mask", "cue_mask"} or not all(pd.api.types.is_scalar(value) for value in values):
            continue
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            found[str(name)] = values.astype(float)
        elif values.nunique() < max(2, len(values)):
            found[str(name)] = values.map(str, na_action="ignore").astype(object).where(values.notna(), None)
    return found


def _computed(source: pd.DataFrame, seen: Arrays) -> dict[str, pd.Series[Any]]:
    """One column per number of each property, and the country where it is known."""
    found: dict[str, pd.Series[Any]] = {}
    for name, values in seen.items():
        if name == "gps":
            continue
        for part, numbers in zip(PARTS.get(name, ("",)), values.T, strict=True):
            found[f"{name}, {part}" if part else name] = pd.Series(numbers)
    codes = places(source, seen["gps"]).codes
    if (codes != "").any():
        names = countries()["name"]
        found["country of origin"] = _texts([names[code] if code else None for code in codes])
    return found


def _properties(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    properties = [image_properties(np.asarray(subject.images[i])) for i in indices]
    nowhere = (float("nan"), float("nan"))
    gps = [gps_position(subject.images.fetch(i)) or nowhere for i in indices]
    found = {name: np.stack([each[name] for each in properties]) for name in properties[0]}
    return found | {"gps": np.array(gps, dtype=np.float64).reshape(-1, 2)}


def _pages(recording: Recording, high: int, wide: int) -> Iterator[bytes]:
    rows, each = list(range(len(recording.logits))), ACROSS * ACROSS
    for start in track(range(0, len(rows), each), "Drawing thumbnails"):
        pixels = recording.subject.pixels(rows[start : start + each]).float().cpu()
        small = functional.interpolate(pixels, (high, wide), mode="bilinear", antialias=True, align_corners=False)
        lines = -(-len(small) // ACROSS)
        small = functional.pad(small, (0, 0, 0, 0, 0, 0, 0, lines * ACROSS - len(small)))
        yield sprite(small.reshape(lines, ACROSS, -1, high, wide).numpy())


def _layer_means(subject: Subject, indices: Sequence[int], batch_size: int, layer: str) -> Arrays:
    reducer = layer_reducer(open_network(subject.classifier), [layer], _mean)
    parts = [
        reducer(subject.pixels(indices[start : start + batch_size]))[0].float().cpu().numpy()
        for start in range(0, len(indices), batch_size)
    ]
    return {"means": np.concatenate(parts)}


def _mean(activation: Tensor) -> Tensor:
    """The mean of each unit over positions, N x U."""
    return by_unit(activation).mean(2)
