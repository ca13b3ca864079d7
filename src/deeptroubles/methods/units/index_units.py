"""Find the strongest, median and weakest images of every unit in one pass over the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ImagesError
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.methods.units.shared.summaries import best, keys_of, layer_grid, merge, priority, read_keys, summarize
from deeptroubles.network import LOGITS, open_network, reusing_reducers, unit_layers
from deeptroubles.subject import Subject


@dataclass(frozen=True, repr=False)
class Samples(Brief):
    """Images of every unit of a layer, the best first. U x k.

    Attributes:
        values: The unit's activation (its maximum over positions); NaN where there are fewer images.
        images: Positions in the image set; -1 where there are fewer images.
        cells: The position of the maximum on the layer's grid, in reading order; -1 where there are fewer images.
    """

    values: NDArray[np.float32]
    images: NDArray[np.int64]
    cells: NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class LayerIndex(Brief):
    """What the units of one layer respond to.

    Attributes:
        layer: Its name.
        grid: Height and width of its positions; (1, 1) for features, (1, T) for tokens.
        count: Number of images.
        top: The strongest images of every unit, strongest first.
        middle: The kept images closest to the median, closest first.
        low: The weakest images, weakest first.
        values: Activation of every unit on the kept images, R x U.
        mean: Mean activation over all images, U.
        active: Share of all images on which the activation is above 0, U.
    """

    layer: str
    grid: tuple[int, int]
    count: int
    top: Samples
    middle: Samples
    low: Samples
    values: NDArray[np.float32]
    mean: NDArray[np.float64]
    active: NDArray[np.float64]

    @property
    def maximum(self) -> NDArray[np.float32]:
        """The highest activation over all images, U."""
        return self.top.values[:, 0]

    @property
    def minimum(self) -> NDArray[np.float32]:
        """The lowest activation over all images, U."""
        return self.low.values[:, 0]


@dataclass(frozen=True, repr=False)
class UnitIndex(Brief):
    """What all units respond to.

    Attributes:
        layers: One index per layer, by name, in the order in which they are computed.
        kept: Positions of the images whose activations are kept, ascending, R.
        unreadable: Positions of the images that could not be read.
    """

    layers: dict[str, LayerIndex]
    kept: NDArray[np.int64]
    unreadable: NDArray[np.int64]


def index_units(
    subject: Subject,
    engine: Engine,
    layers: Sequence[str] | None = None,
    *,
    samples: Count = 9,
    keep: Count = 4096,
    seed: Seed = 0,
) -> UnitIndex:
    """Show every image to the classifier once, and find what every unit responds to.

    The activation of a unit is its maximum over positions. The strongest and weakest images, the mean and the share of
    active images are exact over all images; of equal activations the first image in the set comes first. Activations
    for histograms, quantiles and the images around the median are kept for `keep` random images; with no more images
    than that, they are exact as well. Memory does not grow with the number of images.

    Batch normalizations are fused into the weights, so activations differ from the classifier's by rounding.

    Args:
        subject: The classifier and the images.
        engine: Runs the work.
        layers: Names of layers. Default: `unit_layers`, or the logits where no layer can be read.
        samples: Number of images to keep at either end, and around the median.
        keep: Number of images whose activations are kept for every unit (4 to 8 bytes each).
        seed: Decides which images are kept.

    Returns:
        The index.

    Raises:
        ImagesError: No image could be read.
        ModelError: There is no such layer, or it has no units.

    References:
        M. D. Zeiler, R. Fergus: Visualizing and understanding convolutional networks, ECCV 2014 (the strongest images).
    """
    network = open_network(subject.classifier)
    every = [layer.name for layer in unit_layers(network)] or [LOGITS]
    names = every if layers is None else list(dict.fromkeys(layers))
    chosen = [network.layer(name) for name in names]
    grids = [layer_grid(layer) for layer in chosen]
    positions = np.arange(len(subject.images), dtype=np.int64)
    drawn = np.sort(priority(positions, seed))[:keep]
    with reusing_reducers():
        summary = engine.reduce(
            summarize,
            merge,
            subject,
            positions,
            task="Indexing units",
            layers=names,
            samples=samples,
            seed=seed,
            last=int(drawn[-1]) if keep else int(np.iinfo(np.int64).min),
        )
    if not summary or not summary["count"]:
        raise ImagesError(f"None of the {len(positions)} images could be read.")
    order = np.argsort(summary["kept"])  # already sorted, unless an engine merges in another order
    found, start = {}, 0
    for layer, grid in zip(chosen, grids, strict=True):
        units = slice(start, start + layer.units)
        found[layer.name] = _layer_index(layer.name, grid, summary, units, order)
        start += layer.units
    return UnitIndex(found, summary["kept"][order], np.sort(summary["unreadable"]))


def _layer_index(
    name: str, grid: tuple[int, int], summary: Arrays, units: slice, order: NDArray[np.int64]
) -> LayerIndex:
    """The index of one layer, whose units are a slice of those in the summary."""
    count = int(summary["count"])
    values = summary["values"][order, units]
    low = _samples(summary["low"][units], summary["low_cells"][units])
    return LayerIndex(
        layer=name,
        grid=grid,
        count=count,
        top=_samples(summary["top"][units], summary["top_cells"][units]),
        middle=_middle(values, summary["cells"][order, units], summary["kept"][order], summary["top"].shape[1]),
        low=Samples(0 - low.values, low.images, low.cells),
        values=values,
        mean=summary["sum"][units] / count,
        active=summary["active"][units] / count,
    )


def _samples(keys: NDArray[np.int64], cells: NDArray[Any]) -> Samples:
    values, images = read_keys(keys)
    return Samples(values, images, np.where(images < 0, -1, cells.astype(np.int64)))


def _middle(values: NDArray[np.float32], cells: NDArray[Any], images: NDArray[np.int64], count: int) -> Samples:
    """The images closest to the median of every unit, from R x U activations."""
    distance = np.abs(values - np.median(values, axis=0)) if len(values) else values
    rows = np.broadcast_to(np.arange(len(values)), (values.shape[1], len(values)))
    keys, rows = best(keys_of(-distance.T, images), rows, count)
    missing = read_keys(keys)[1] < 0
    if not len(values):
        return _samples(keys, rows)
    units = np.arange(values.shape[1])[:, None]
    return Samples(
        np.where(missing, np.float32(np.nan), values[rows, units]),
        np.where(missing, -1, images[rows]),
        np.where(missing, -1, cells[rows, units].astype(np.int64)),
    )
