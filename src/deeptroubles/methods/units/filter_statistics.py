"""Statistics of all activations of a layer: winners, histograms, sparsity, dead and duplicate units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ImagesError
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.methods.units.shared.summaries import layer_grid
from deeptroubles.network import layer_reducer, open_network, reusing_reducers
from deeptroubles.subject import Subject

OCTAVES = 20
"""Histograms reach from 2 ** -OCTAVES to 2 ** OCTAVES on either side of zero, with two bins per octave."""
MIN_CORRELATION = 0.99
"""Units are duplicates above this absolute correlation of their activations."""
MAX_UNITS = 4096
"""Duplicates are searched in layers of at most this many units, since all pairs are compared."""


@dataclass(frozen=True, repr=False)
class FilterStatistics(Brief):
    """Statistics of all activations of a layer: U units, h x w positions, n images.

    Attributes:
        layer: Its name.
        count: Number of images.
        winners: Number of images in which each unit is the most active one of the layer at each position, U x h x w.
            The lowest unit wins a tie; where all activations are 0, no unit wins.
        edges: Edges of the histogram bins, B + 1, ascending: 2 ** e and 1.5 * 2 ** e on either side of zero. The bin
            between the two zeros holds exact zeros; the outermost bins reach to infinity. An activation on an edge
            belongs to the bin farther from zero.
        histograms: Number of activations (images and positions) of each unit in each bin, U x B.
        sparsity: Share of activations that are not above 0, U.
        dead: Dead units, U: in a rectified layer (without activations below 0) those that are never above 0, in any
            other layer those that never change.
        lifetime_sparsity: 0 when a unit responds equally to everything, 1 when it responds to a single image and
            position, U; NaN when it is never above 0. Vinje and Gallant's form of Treves and Rolls' measure over images
            and positions: (1 - mean(r) ** 2 / mean(r ** 2)) / (1 - 1 / m) of m activations r, clipped at 0.
        duplicates: Pairs of units with the correlation of their activations over images and positions, the highest
            absolute value first; None where the layer has too many units (`MAX_UNITS`).
    """

    layer: str
    count: int
    winners: NDArray[np.int64]
    edges: NDArray[np.float64]
    histograms: NDArray[np.int64]
    sparsity: NDArray[np.float64]
    dead: NDArray[np.bool_]
    lifetime_sparsity: NDArray[np.float64]
    duplicates: tuple[tuple[int, int, float], ...] | None

    @property
    def wins(self) -> NDArray[np.int64]:
        """Number of images and positions at which each unit is the most active one, U."""
        return np.asarray(self.winners.sum((1, 2)))


def filter_statistics(
    subject: Subject, engine: Engine, layer: str, indices: Sequence[int] | None = None
) -> FilterStatistics:
    """Compute statistics of all activations of a layer on images.

    Counts and extremes are exact; correlations use products in single precision. Unreadable images are skipped.

    Args:
        subject: The classifier and the images.
        engine: Runs the work.
        layer: Name of a layer.
        indices: The images. Default: all.

    Returns:
        The statistics.

    Raises:
        ImagesError: No image could be read.
        ModelError: There is no such layer, or it has no units.

    References:
        B. A. Olshausen, D. J. Field, Sparse coding of sensory inputs, Current Opinion in Neurobiology 2004.

        A. Treves, E. T. Rolls, What determines the capacity of autoassociative memories in the brain?, Network 1991.

        W. E. Vinje, J. L. Gallant, Sparse coding and decorrelation in primary visual cortex during natural vision,
        Science 2000.
    """
    found = open_network(subject.classifier).layer(layer)
    height, width = layer_grid(found)
    chosen = range(len(subject.images)) if indices is None else indices
    with reusing_reducers():
        summary = engine.reduce(_summarize, _merge, subject, chosen, task=f"Watching {layer}", chunk=64, layer=layer)
    if not summary or not summary["images"]:
        raise ImagesError(f"None of the {len(chosen)} images could be read.")
    seen = int(summary["images"]) * height * width
    rectified = summary["lowest"].min() >= 0
    above = summary["histograms"][:, _ZERO + 1 :].sum(1)
    squares = np.where(above > 0, summary["squares"], np.nan)
    activity = (summary["positive"] / seen) ** 2 / (squares / seen)
    return FilterStatistics(
        layer=layer,
        count=int(summary["images"]),
        winners=summary["winners"].reshape(found.units, height, width),
        edges=_edges(),
        histograms=summary["histograms"],
        sparsity=1 - above / seen,
        dead=above == 0 if rectified else summary["lowest"] == summary["highest"],
        lifetime_sparsity=(1 - activity) / (1 - 1 / seen) if seen > 1 else np.full(found.units, np.nan),
        duplicates=_duplicates(summary["products"], summary["lowest"] < summary["highest"])
        if "products" in summary
        else None,
    )


_ZERO = 4 * OCTAVES + 2
"""The bin of zero: on either side are two bins per octave, one bin for smaller and one for larger numbers."""
_BINS = 2 * _ZERO + 1


def _edges() -> NDArray[np.float64]:
    octaves = 2.0 ** np.arange(-OCTAVES, OCTAVES)
    positive = np.concatenate([np.stack([octaves, 1.5 * octaves], 1).ravel(), [2.0**OCTAVES]])
    return np.concatenate([[-np.inf], -positive[::-1], [0.0, 0.0], positive, [np.inf]])


def _bins(activations: Tensor) -> Tensor:
    """The bin of each activation: exponent and first mantissa bit of a float are its half octave."""
    half_octaves = activations.view(torch.int32).bitwise_and(0x7FFFFFFF) >> 22
    first = (127 - OCTAVES) * 2  # of 2 ** -OCTAVES
    distance = (half_octaves - first + 2).clamp(1, _ZERO)
    return _ZERO + torch.where(activations == 0, 0, torch.where(activations > 0, distance, -distance))


def _summarize(subject: Subject, indices: Sequence[int], batch_size: int, layer: str) -> Arrays:
    """The summary of some images."""
    network = open_network(subject.classifier)
    read = layer_reducer(network, [layer], by_unit)
    found = network.layer(layer)
    height, width = layer_grid(found)
    summary = _of_batch(torch.zeros(0, found.units, height * width))
    for start in range(0, len(indices), batch_size):
        pixels, readable, _ = subject.readable_pixels(indices[start : start + batch_size])
        if len(readable):
            with torch.inference_mode():
                summary = _merge(summary, _of_batch(read(pixels)[0].float()))
    return summary


def _of_batch(activations: Tensor) -> Arrays:
    """The summary of a batch, from its activations: N x U x P."""
    count, units, positions = activations.shape
    by_position = activations.permute(1, 0, 2).reshape(units, -1)  # U x NP
    place = activations.max(1).indices * positions + torch.arange(positions, device=activations.device)
    bins = _bins(by_position) + _BINS * torch.arange(units, device=activations.device)[:, None]
    above = by_position.clamp_min(0).double()
    summary = {
        "images": torch.tensor(count),
        "winners": torch.bincount(place[(activations != 0).any(1)], minlength=units * positions).view(units, positions),
        "histograms": torch.bincount(bins.flatten(), minlength=units * _BINS).view(units, _BINS),
        "lowest": by_position.amin(1) if count else torch.full((units,), torch.inf),
        "highest": by_position.amax(1) if count else torch.full((units,), -torch.inf),
        "positive": above.sum(1),
        "squares": above.square().sum(1),
    }
    if units <= MAX_UNITS:
        mean = by_position.sum(1, dtype=torch.float64) / max(1, by_position.shape[1])
        centered = by_position - mean.float()[:, None]
        summary |= {"mean": mean, "products": (centered @ centered.T).double()}
    return {name: value.cpu().numpy() for name, value in summary.items()}


def _merge(a: Arrays, b: Arrays) -> Arrays:
    """Merge the summaries of two disjoint sets of images, with deviations from the common mean (Chan 1979)."""
    merged = {name: a[name] + b[name] for name in ("images", "winners", "histograms", "positive", "squares")}
    merged["lowest"], merged["highest"] = np.minimum(a["lowest"], b["lowest"]), np.maximum(a["highest"], b["highest"])
    if "products" in a:
        n, positions = int(merged["images"]), a["winners"].shape[1]
        share = int(b["images"]) / max(1, n)
        apart = b["mean"] - a["mean"]
        merged["mean"] = a["mean"] + share * apart
        between = np.outer(apart, apart) * (positions * int(a["images"]) * share)
        merged["products"] = a["products"] + b["products"] + between
    return merged


def _duplicates(products: NDArray[np.float64], changes: NDArray[np.bool_]) -> tuple[tuple[int, int, float], ...]:
    """Pairs of correlated units, from the products of their deviations (U x U) and which of them change at all."""
    length = np.sqrt(np.where(changes, np.diagonal(products), np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.clip(products / np.outer(length, length), -1, 1)
    first, second = np.nonzero(np.triu(np.abs(correlation) > MIN_CORRELATION, 1))
    pairs = [(int(i), int(j), float(correlation[i, j])) for i, j in zip(first, second, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-abs(pair[2]), pair)))
