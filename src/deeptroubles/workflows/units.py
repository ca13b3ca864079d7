"""How every unit of some layers responds, kept in a run folder, top to bottom: index, count, sample, name, draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from deeptroubles.classifier import Classifier, expect_classifier
from deeptroubles.engine import Engine, LocalEngine, MakeEngine, code_fingerprint
from deeptroubles.images import ImageSet
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.units.filter_statistics import FilterStatistics, filter_statistics
from deeptroubles.methods.units.index_units import LayerIndex, UnitIndex, index_units
from deeptroubles.methods.units.shared.attributes import attribute_table, attributes_of
from deeptroubles.methods.units.shared.samples import sample_box
from deeptroubles.methods.units.shared.similar_units import similar_units
from deeptroubles.models.clip import load_text_tower_of
from deeptroubles.network import Network, TracedNetwork, open_network, outline, readers
from deeptroubles.pictures import sprite
from deeptroubles.progress import track
from deeptroubles.recording import read_subject
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.run.unit_store import SpriteSource, UnitStore
from deeptroubles.subject import Subject
from deeptroubles.workflows.audit import open_run
from deeptroubles.workflows.choices import Around, UnitTechnique
from deeptroubles.workflows.unit_pictures import is_output, keep_caricature, keep_dream, keep_pictures, keep_texts

CROP = 64
"""Largest side of a sample's picture, in pixels."""
PAGE = 64
"""Rows of pictures in one file."""
BINS = 30
CACHED = 2048
"""Prepared images that are held in memory while samples are cropped."""
CROPS = 512
"""Crops that are held in memory: in deep layers many units show the same part of the same image."""
SIMILAR = 24
"""Units that are kept as similar to each unit."""
WEIGHTS = 8
"""Weights of either sign that are kept for each unit and layer that reads it."""
COVERS = 16
"""Pictures side by side in the sheet that has one for each unit."""


def analyze_units(
    classifier: Classifier,
    images: ImageSet,
    out: Path | str,
    layers: Sequence[str] | None = None,
    *,
    samples: int = 9,
    around: Around = "receptive_field",
    draw: int = 0,
    steps: int = 256,
    seed: int = 0,
    batch_size: int = 32,
    engine: MakeEngine = LocalEngine,
) -> UnitStore:
    """Analyze every unit of some layers, and keep the results.

    Args:
        classifier: Whose units.
        images: The images they respond to.
        out: The run folder. What it already holds is not computed again.
        layers: Names of layers. Default: after every operation with weights.
        samples: How many of the strongest, middling and weakest images are kept for each unit.
        around: Crop samples by the computed receptive field, or around the strongest position.
        draw: For how many units of each layer pictures are made by activation maximization.
        steps: Steps of these.
        seed: Seed of everything random.
        batch_size: How many images are processed at once.
        engine: Makes what does the work. Default: this process does.

    Returns:
        The store: `entries()` lists what there is, `table(entry)` reads it.

    Raises:
        ImagesError: No image could be read.
        ModelError: There is no such layer.
        RunFolderError: The folder holds another run, or cannot be written.
    """
    expect_classifier(classifier)
    folder = open_run(out, classifier, images, seed)
    worker = engine(folder, batch_size)
    with keeping_pixels(folder) as pixels:
        subject, _, _ = read_subject(classifier, images, worker, pixels)
        store = UnitStore(out, f"{code_fingerprint()} {subject.fingerprint}")
        keep_graph(store, subject.classifier)
        index = index_units(subject, worker, layers, samples=samples, seed=seed)
        found = list(index.layers.values())
        for layer in track(found, "Analyzing units", sizes=[len(each.mean) for each in found]):
            keep_layer(store, subject, worker, index, layer, around)
            if draw:
                units = range(min(draw, len(layer.mean)))
                keep_pictures(store, subject, worker, index, layer, units, "channel", steps=steps, seed=seed)
        return store


def keep_technique(
    store: UnitStore,
    subject: Subject,
    engine: Engine,
    layer: str,
    technique: UnitTechnique,
    *,
    units: Sequence[int] = (),
    row: int = 0,
    steps: int = 256,
    seed: int = 0,
) -> None:
    """Compute one technique for one layer, or for some of its units, and keep it. What is kept is not computed again.

    Args:
        store: Where it is kept.
        subject: The classifier and the images.
        engine: Does the work on the images.
        layer: Name of the layer.
        technique: `dataset`: all that the images say about the layer's units. `channel`, `neuron`, `negative`,
            `diversity`: pictures made for the units. `dream`: an image changed to excite the units, each by itself, or
            the layer where no units are given. `caricature`: an image exaggerated at the layer. `text`: texts that
            excite the units, for CLIP models.
        units: The units.
        row: The image that `dream` and `caricature` start from.
        steps: Steps of the ascent.
        seed: Seed of everything random.

    Raises:
        ModelError: There is no such layer, or no text tower for this classifier.
        ImagesError: No image could be read.
    """
    keep_graph(store, subject.classifier)
    if technique == "caricature":
        return keep_caricature(store, subject, layer, row, steps, seed)
    if technique == "dream":
        for unit in units or (None,):
            keep_dream(store, subject, layer, unit, row, seed)
        return None
    index = index_units(subject, engine, [layer], seed=seed)
    found = index.layers[layer]
    if technique == "dataset":
        return keep_layer(store, subject, engine, index, found, "receptive_field")
    if technique == "text":
        tower = load_text_tower_of(subject.classifier)
        return keep_texts(store, subject, engine, found, units, tower, seed=seed)
    return keep_pictures(store, subject, engine, index, found, units, technique, steps=steps, seed=seed)


def keep_graph(store: UnitStore, classifier: Classifier) -> None:
    """The layers with units and how they are connected, under the name `network`."""
    if not store.find("network", "graph", {}):
        table, edges = graph_of(classifier)
        store.keep("network", "graph", {}, table, {"edges": edges})


def graph_of(classifier: Classifier) -> tuple[pd.DataFrame, list[list[str]]]:
    """A row for each layer with units, in the order in which they are computed, and pairs of connected layers."""
    network = open_network(classifier)
    graph = outline(network)
    rows = [
        {
            "layer": layer.name,
            "kind": kind,
            "units": layer.units,
            "positions": list(layer.shape[1:]) if layer.is_spatial else None,
            "receptive_field": _receptive_field(network, layer.name),
        }
        for layer, kind in zip(graph.layers, graph.kinds, strict=True)
    ]
    return pd.DataFrame(rows), [list(edge) for edge in graph.edges]


def keep_layer(
    store: UnitStore, subject: Subject, engine: Engine, index: UnitIndex, layer: LayerIndex, around: Around
) -> None:
    """All that images say about the units of a layer."""
    statistics = filter_statistics(subject, engine, layer.layer)
    keep_statistics(store, subject.classifier, layer, statistics)
    keep_winners(store, statistics)
    keep_samples(store, subject, layer, around, len(index.unreadable))
    keep_words(store, subject, index, layer)
    keep_similar(store, layer)
    keep_weights(store, subject.classifier, layer.layer)


def keep_statistics(store: UnitStore, classifier: Classifier, layer: LayerIndex, seen: FilterStatistics) -> None:
    """How active every unit is: range, mean and histogram over images, how often above 0; dead and repeated units."""
    if store.find(layer.layer, "statistics", {}):
        return
    twin = {b: a for a, b, _ in reversed(seen.duplicates or ())}
    names = classifier.class_names if is_output(classifier, layer.layer) else ()
    rows = []
    for unit, values in enumerate(layer.values.T):
        low, high = float(layer.minimum[unit]), float(layer.maximum[unit])
        counts, _ = np.histogram(values, bins=BINS, range=(low, high) if high > low else (low - 0.5, low + 0.5))
        rows.append(
            {
                "unit": unit,
                "name": f"{unit} {names[unit]}" if names else str(unit),
                "low": low,
                "high": high,
                "mean": float(layer.mean[unit]),
                "active": float(layer.active[unit]),
                "histogram": counts.tolist(),
                "sparsity": float(seen.sparsity[unit]),
                "lifetime_sparsity": float(seen.lifetime_sparsity[unit]),
                "wins": int(seen.wins[unit]),
                "dead": bool(seen.dead[unit]),
                "duplicate_of": twin.get(unit, -1),
            }
        )
    store.keep(layer.layer, "statistics", {}, pd.DataFrame(rows))


def keep_winners(store: UnitStore, seen: FilterStatistics) -> None:
    """One map per unit: in how many images it is the most active one of the layer at each position."""
    units, height, width = seen.winners.shape
    if height * width == 1 or store.find(seen.layer, "winners", {}):
        return
    maps = heat_colors(seen.winners / max(1, seen.winners.max()))
    pages = (sprite(maps[i : i + PAGE, None]) for i in range(0, units, PAGE))
    table = pd.DataFrame({"unit": np.arange(units), "most": seen.winners.max((1, 2))})
    pictures = SpriteSource(pages=pages, height=height, width=width, columns=1, rows=PAGE, count=units)
    store.keep(seen.layer, "winners", {}, table, {"count": seen.count}, pictures)


def keep_samples(store: UnitStore, subject: Subject, layer: LayerIndex, around: Around, unreadable: int) -> None:
    """The strongest, middling and weakest images of every unit, as a table and as pictures of what it saw in them."""
    parameters = {"samples": layer.top.images.shape[1], "around": around}
    if store.find(layer.layer, "samples", parameters):
        return
    network = open_network(subject.classifier)
    table = _sample_table(subject, layer, around)
    sides = table[["bottom", "right"]].to_numpy() - table[["top", "left"]].to_numpy()
    height, width = (int(min(CROP, side)) for side in sides.max(0))
    columns = 3 * layer.top.images.shape[1]
    pages = _sample_pages(subject, table, (height, width), columns)
    facts = {
        "count": layer.count,
        "unreadable": unreadable,
        "grid": list(layer.grid) if max(layer.grid) > 1 else None,
        "receptive_field": _receptive_field(network, layer.layer),
    }
    pictures = SpriteSource(pages=pages, height=height, width=width, columns=columns, rows=PAGE, count=len(layer.mean))
    store.keep(layer.layer, "samples", parameters, table, facts, pictures)
    _keep_covers(store, subject, layer.layer, parameters, table, (height, width))


def _keep_covers(
    store: UnitStore,
    subject: Subject,
    layer: str,
    parameters: dict[str, Any],
    table: pd.DataFrame,
    size: tuple[int, int],
) -> None:
    """What each unit saw in its strongest image, in a sheet of its own: a page of all units needs no more."""
    first = table[(table["kind"] == "top") & (table["rank"] == 0)]
    pages = _sample_pages(subject, first, size, COVERS)
    height, width = size
    count = -(-len(first) // COVERS)
    sheet = SpriteSource(pages=pages, height=height, width=width, columns=COVERS, rows=PAGE, count=count)
    store.keep(layer, "covers", parameters, first[["unit"]], None, sheet)


def _receptive_field(network: Network, layer: str) -> list[int] | None:
    """Height and width in pixels of what a position can depend on, where that is known and not the whole image."""
    size = network.receptive_field(layer).size if isinstance(network, TracedNetwork) else None
    return [int(side) for side in size if side] if size and all(size) else None


def _sample_table(subject: Subject, layer: LayerIndex, around: Around) -> pd.DataFrame:
    """One row per unit, kind and rank, in the order of the pictures; position -1 where there are too few images."""
    units, ranks = layer.top.images.shape
    unit, rank = np.divmod(np.arange(units * ranks), ranks)
    parts = [
        pd.DataFrame(
            {
                "unit": unit,
                "kind": kind,
                "rank": rank,
                "position": samples.images.ravel(),
                "value": samples.values.ravel(),
                "cell": samples.cells.ravel(),
            }
        )
        for kind, samples in (("top", layer.top), ("middle", layer.middle), ("weak", layer.low))
    ]
    table = pd.concat(parts).sort_values("unit", kind="stable", ignore_index=True)
    network = open_network(subject.classifier)
    boxes = {
        cell: sample_box(network, layer.layer, int(cell), layer.grid, around) if cell >= 0 else (0, 0, 1, 1)
        for cell in table["cell"].unique()
    }
    table[["top", "left", "bottom", "right"]] = np.array([boxes[cell] for cell in table["cell"]])
    known = subject.images.table
    for column, source in (("image", "path"), ("label", "label")):
        table[column] = known[source].to_numpy()[table["position"]]
        table.loc[table["position"] < 0, column] = None
    return table


def _sample_pages(subject: Subject, table: pd.DataFrame, size: tuple[int, int], columns: int) -> Iterator[bytes]:
    """The crops, PAGE units to a file, a row for each unit."""

    @lru_cache(CACHED)
    def shown(position: int) -> NDArray[np.uint8]:
        return np.asarray(to_bytes(subject.pixels([position])[0].cpu()).numpy())

    @lru_cache(CROPS)
    def crop(position: int, box: tuple[int, ...]) -> NDArray[np.float32]:
        return _crop(shown(position), box, size)

    places = table[["position", "top", "left", "bottom", "right"]].to_numpy()
    for start in range(0, len(places), PAGE * columns):
        cells = [
            crop(position, tuple(box)) if position >= 0 else None
            for position, *box in places[start : start + PAGE * columns].tolist()
        ]
        nothing = np.full((subject.classifier.channels, *size), 0.5, dtype=np.float32)
        cells += [None] * (-len(cells) % columns)
        whole = np.stack([nothing if cell is None else cell for cell in cells])
        yield sprite(whole.reshape(-1, columns, *nothing.shape))


def _crop(pixels: NDArray[np.uint8], box: tuple[int, ...], size: tuple[int, int]) -> NDArray[np.float32]:
    """A box of an image (C x H x W, 8 bits), shrunk to fit the size and centered on gray, in [0, 1]."""
    top, left, bottom, right = box
    part = pixels[:, top:bottom, left:right]
    scale = min(size[0] / part.shape[1], size[1] / part.shape[2])
    height, width = (max(1, min(limit, round(scale * side))) for limit, side in zip(size, part.shape[1:], strict=True))
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    planes = [np.asarray(Image.fromarray(plane).resize((width, height), kind)) for plane in part]
    cell = np.full((len(pixels), *size), 0.5, dtype=np.float32)
    y, x = (size[0] - height) // 2, (size[1] - width) // 2
    cell[:, y : y + height, x : x + width] = np.stack(planes) / np.float32(255)
    return cell


def keep_similar(store: UnitStore, layer: LayerIndex) -> None:
    """For every unit those whose activations on the images are most correlated with its own."""
    if store.find(layer.layer, "similar", {}):
        return
    found = similar_units(layer.values, SIMILAR)
    unit, rank = np.divmod(np.arange(found.units.size), max(1, found.units.shape[1]))
    table = pd.DataFrame(
        {"unit": unit, "rank": rank, "other": found.units.ravel(), "correlation": found.correlations.ravel()}
    )
    store.keep(layer.layer, "similar", {}, table[table["other"] >= 0])


def keep_weights(store: UnitStore, classifier: Classifier, layer: str) -> None:
    """The strongest weights by which later layers read each unit, of either sign."""
    network = open_network(classifier)
    found = readers(network, layer)
    if not found or store.find(layer, "weights", {}):
        return
    parts = [_strongest_weights(reader.layer, reader.weights.float().cpu().numpy()) for reader in found]
    table = pd.concat(parts, ignore_index=True)
    outputs = {reader.layer for reader in found if is_output(classifier, reader.layer)}
    table["name"] = [
        classifier.class_names[other] if reader in outputs else str(other)
        for reader, other in zip(table["reader"], table["other"], strict=True)
    ]
    store.keep(layer, "weights", {}, table)


def _strongest_weights(reader: str, weights: NDArray[Any]) -> pd.DataFrame:
    """The `WEIGHTS` highest and lowest of each column (V x U), without those of the wrong sign."""
    rows = np.argsort(-weights, axis=0, kind="stable")
    rows = rows if len(rows) <= 2 * WEIGHTS else np.concatenate([rows[:WEIGHTS], rows[-WEIGHTS:]])
    unit = np.tile(np.arange(weights.shape[1]), len(rows))
    table = pd.DataFrame({"reader": reader, "unit": unit, "other": rows.ravel()})
    table["weight"] = weights[table["other"], unit]
    return table[table["weight"] != 0]


def keep_words(store: UnitStore, subject: Subject, index: UnitIndex, layer: LayerIndex) -> None:
    """The words (classes, and values of other columns) that each unit detects best."""
    parameters = {"samples": layer.top.images.shape[1]}
    if store.find(layer.layer, "words", parameters):
        return
    attributes = attributes_of(subject, index.kept)
    columns = ["unit", "word", "column", "auroc", "low", "high", "within_classes", "purity", "base_rate"]
    rows: list[list[Any]] = []
    if attributes.names:
        table = attribute_table(layer.values, attributes, subject.targets[index.kept], top=parameters["samples"])
        rows = [
            [
                unit,
                attributes.names[d.attribute],
                attributes.columns[d.attribute],
                d.overall.value,
                d.overall.low,
                d.overall.high,
                d.within.value,
                d.purity,
                attributes.base_rate[d.attribute],
            ]
            for unit in range(len(layer.mean))
            for d in table.best_attributes(unit)
        ]
    store.keep(layer.layer, "words", parameters, pd.DataFrame(rows, columns=columns))


def heat_colors(shares: NDArray[Any]) -> NDArray[np.float32]:
    """Shares in [0, 1] as colors from black over red to yellow and white, ... x 3 x h x w."""
    red, green, blue = (np.clip(3 * shares - step, 0, 1) for step in range(3))
    return np.asarray(np.stack([red, green, blue], axis=-3), dtype=np.float32)
