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
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.filter_statistics import FilterStatistics, filter_statistics
from deeptroubles.methods.units.index_units import LayerIndex, UnitIndex, index_units
from deeptroubles.methods.units.shared.attributes import attribute_table, attributes_of
from deeptroubles.methods.units.shared.samples import sample_box
from deeptroubles.methods.units.visualization_trust import MIN_NATURAL, visualization_trust
from deeptroubles.network import LOGITS, TracedNetwork, open_network
from deeptroubles.pictures import sprite
from deeptroubles.progress import track
from deeptroubles.recording import read_subject
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.run.unit_store import SpriteSource, UnitStore
from deeptroubles.subject import Subject
from deeptroubles.workflows.audit import open_run
from deeptroubles.workflows.choices import Around

CROP = 64
"""Largest side of a sample's picture, in pixels."""
PAGE = 64
"""Rows of pictures in one file."""
BINS = 30
CACHED = 2048
"""Prepared images that are held in memory while samples are cropped."""
STARTS = 2
"""Pictures that are made for a unit, from different noise: whether they agree is part of their trust."""


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
        index = index_units(subject, worker, layers, samples=samples, seed=seed)
        found = list(index.layers.values())
        for layer in track(found, "Analyzing units", sizes=[len(each.mean) for each in found]):
            statistics = filter_statistics(subject, worker, layer.layer)
            keep_statistics(store, classifier, layer, statistics)
            keep_winners(store, statistics)
            keep_samples(store, subject, layer, around, len(index.unreadable))
            keep_words(store, subject, index, layer)
            if draw:
                units = list(range(min(draw, len(layer.mean))))
                keep_pictures(store, subject, worker, index, layer, units, steps, seed)
        return store


def keep_statistics(store: UnitStore, classifier: Classifier, layer: LayerIndex, seen: FilterStatistics) -> None:
    """How active every unit is: range, mean and histogram over images, how often above 0; dead and repeated units."""
    if store.find(layer.layer, "statistics", {}):
        return
    twin = {b: a for a, b, _ in reversed(seen.duplicates or ())}
    names = classifier.class_names if _is_output(classifier, layer.layer) else ()
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
    maps = _black_to_red(seen.winners / max(1, seen.winners.max()))
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
    field = network.receptive_field(layer.layer).size if isinstance(network, TracedNetwork) else None
    facts = {
        "count": layer.count,
        "unreadable": unreadable,
        "grid": list(layer.grid) if max(layer.grid) > 1 else None,
        "receptive_field": list(field) if field and all(field) else None,
    }
    pictures = SpriteSource(pages=pages, height=height, width=width, columns=columns, rows=PAGE, count=len(layer.mean))
    store.keep(layer.layer, "samples", parameters, table, facts, pictures)


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

    places = table[["position", "top", "left", "bottom", "right"]].to_numpy()
    for start in range(0, len(places), PAGE * columns):
        cells = [
            _crop(shown(position), tuple(box), size) if position >= 0 else None
            for position, *box in places[start : start + PAGE * columns].tolist()
        ]
        nothing = np.full((subject.classifier.channels, *size), 0.5, dtype=np.float32)
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


def keep_pictures(
    store: UnitStore,
    subject: Subject,
    engine: Engine,
    index: UnitIndex,
    layer: LayerIndex,
    units: Sequence[int],
    steps: int,
    seed: int,
) -> None:
    """Pictures made for units, how the units respond to them, and how far they can be trusted."""
    parameters = {"units": list(units), "steps": steps, "seed": seed, "starts": STARTS}
    if store.find(layer.layer, "activation_maximization", parameters):
        return
    wanted = [unit for unit in units for _ in range(STARTS)]
    drawn = activation_maximization(subject.classifier, layer.layer, wanted, steps=steps, seed=seed)
    pictures, reached = drawn.images.cpu().numpy(), drawn.activations.cpu().numpy()
    table = pd.DataFrame(
        {
            "unit": wanted,
            "start": np.tile(np.arange(STARTS), len(units)),
            "activation": reached,
            "converged": drawn.converged.cpu().numpy(),
            "dead": drawn.dead.cpu().numpy(),
        }
    )
    natural = np.repeat(layer.maximum[list(units)], STARTS)
    table["fraction"] = np.divide(reached, natural, out=np.full_like(reached, np.nan), where=natural > 0)
    for name, values in _trust(subject, engine, index, layer, units, pictures, reached, seed).items():
        table[name] = np.repeat(values, STARTS)
    pages = (sprite(pictures[i : i + PAGE, None], lossless=True) for i in range(0, len(pictures), PAGE))
    height, width = subject.classifier.size
    sheet = SpriteSource(pages=pages, height=height, width=width, columns=1, rows=PAGE, count=len(pictures))
    store.keep(layer.layer, "activation_maximization", parameters, table, None, sheet)


def _trust(
    subject: Subject,
    engine: Engine,
    index: UnitIndex,
    layer: LayerIndex,
    units: Sequence[int],
    pictures: NDArray[Any],
    reached: NDArray[Any],
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """The numbers next to a picture, per unit; none with too few images."""
    if len(index.kept) < MIN_NATURAL:
        return {}
    kept = subject.subset(index.kept)
    shape = (len(units), STARTS)
    trust = visualization_trust(
        kept,
        engine,
        LOGITS if _is_output(subject.classifier, layer.layer) else layer.layer,
        pictures.reshape(*shape, *pictures.shape[1:]),
        reached.reshape(shape),
        layer.values[:, list(units)],
        seed=seed,
    )
    numbers = {"path": trust.path.late}
    for encoder, simulated in trust.simulation.items():
        numbers[f"told_by_{encoder}"] = simulated.accuracy
        numbers[f"told_by_{encoder}_natural"] = simulated.natural.mean(1)
        numbers[f"told_by_{encoder}_random"] = simulated.random.mean(1)
    return numbers | {f"agreement_{encoder}": each.relative for encoder, each in trust.agreement.items()}


def _is_output(classifier: Classifier, layer: str) -> bool:
    """Whether a layer's units are the classes: the last layer, or the logits by name."""
    network = open_network(classifier)
    return layer == LOGITS or (layer == network.layers[-1].name and network.layers[-1].units == classifier.classes)


def _black_to_red(shares: NDArray[Any]) -> NDArray[np.float32]:
    """Shares in [0, 1] as colors from black over red to yellow and white, ... x 3 x h x w."""
    red, green, blue = (np.clip(3 * shares - step, 0, 1) for step in range(3))
    return np.asarray(np.stack([red, green, blue], axis=-3), dtype=np.float32)
