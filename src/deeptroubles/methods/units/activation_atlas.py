"""An activation atlas: what a layer sees, as a map of pictures (Carter et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.manifold import TSNE
from torch import Tensor

from deeptroubles.engine import Engine
from deeptroubles.errors import ImagesError
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.network import open_network
from deeptroubles.subject import Subject

Floats = NDArray[np.floating]

MIN_ACTIVATIONS = 5
"""Fewer activations than this cannot be laid out."""
PERPLEXITY = 30.0
GAP, SHADE = 2, 0.85
"""Pixels between the pictures of the drawn map, and the shade of what is empty."""


@dataclass(frozen=True)
class ActivationAtlas:
    """A map of a layer's activations, cut into grid x grid cells, row 0 at the top.

    Attributes:
        layer: The layer's name.
        positions: P x 2, where each activation lies: x to the right and y downwards, in [0, 1].
        images: P, the image that each activation comes from.
        cells: M x 2, row and column of the cells that are drawn, in reading order.
        pictures: M x C x H x W in [0, 1], one per drawn cell.
        counts: grid x grid, how many activations lie in each cell.
        shares: grid x grid x K, the share of each class among those of them whose class is known; 0 where it is of
            none.
    """

    layer: str
    positions: NDArray[np.float64]
    images: NDArray[np.int64]
    cells: NDArray[np.int64]
    pictures: Tensor
    counts: NDArray[np.int64]
    shares: NDArray[np.float64]

    def draw(self) -> Tensor:
        """The map as one picture, C x side x side' in [0, 1]; cells that are not drawn are gray."""
        grid = len(self.counts)
        _, channels, height, width = self.pictures.shape
        whole = torch.full((channels, grid * (height + GAP) - GAP, grid * (width + GAP) - GAP), SHADE)
        for (row, column), shown in zip(self.cells.tolist(), self.pictures.cpu(), strict=True):
            top, left = row * (height + GAP), column * (width + GAP)
            whole[:, top : top + height, left : left + width] = shown
        return whole


def activation_atlas(
    subject: Subject,
    engine: Engine,
    layer: str,
    *,
    grid: Count = 8,
    min_activations: Count = 5,
    positions: Count = 1,
    whiten: bool = True,
    steps: Count = 256,
    seed: Seed = 0,
    batch_size: Count = 64,
) -> ActivationAtlas:
    """A map of what a layer sees in the user's images, with a picture for every region of it.

    Of each image, the activations of all units at one random position (or several) are taken, and laid out so that
    those that point the same way lie together. In each cell of a grid over the map their mean is made visible by
    activation maximization of that direction.

    Args:
        subject: The classifier and the images.
        engine: Where the activations are computed.
        layer: Name of a layer.
        grid: The map is cut into so many rows and columns.
        min_activations: A cell needs so many activations to be drawn.
        positions: How many positions of each image are taken (no more than the layer has).
        whiten: Draw directions of which what all activations of the layer have in common is taken out (`whitened`).
        steps: Steps of activation maximization.
        seed: Decides the positions, the map and the pictures.
        batch_size: How many pictures are made at once.

    Raises:
        ImagesError: There are fewer than 5 activations, or no cell has enough of them.
        ModelError: There is no such layer, or it has no units.

    References:
        S. Carter, Z. Armstrong, L. Schubert, I. Johnson, C. Olah: Activation Atlas, Distill 2019. They lay out by UMAP,
        which would bring in a compiler (numba); here it is t-SNE with cosine distances.
    """
    classifier = subject.classifier
    found = engine.map(
        _activations,
        subject,
        range(len(subject.images)),
        task="Visiting positions",
        chunk=32,
        layer=layer,
        positions=positions,
        seed=seed,
    )
    activations = found["activations"].reshape(-1, found["activations"].shape[-1])
    images = np.repeat(np.arange(len(subject.images)), len(activations) // len(subject.images))
    places = atlas_layout(activations, seed=seed)
    column, row = np.minimum((places * grid).astype(np.int64), grid - 1).T
    counts = np.zeros((grid, grid), dtype=np.int64)
    np.add.at(counts, (row, column), 1)
    speaks = np.zeros((grid, grid), dtype=bool)  # where all activations are 0, there is no direction to draw
    speaks[row[activations.any(1)], column[activations.any(1)]] = True
    cells = np.argwhere((counts >= min_activations) & speaks)
    if not len(cells):
        raise ImagesError(
            f"No cell of the map holds {min_activations} activations; give more images or positions, or a smaller grid."
        )
    means = np.stack([activations[(row == r) & (column == c)].mean(0) for r, c in cells])
    directions = whitened(means, activations) if whiten else means
    drawn = activation_maximization(
        classifier,
        layer,
        torch.from_numpy(directions.astype(np.float32)),
        objective="direction",
        steps=steps,
        seed=seed,
        batch_size=batch_size,
    )
    shares = _shares(subject.targets[images], row, column, grid, classifier.classes)
    return ActivationAtlas(layer, places, images, cells, drawn.images, counts, shares)


def atlas_layout(activations: Floats, *, seed: int = 0) -> NDArray[np.float64]:
    """Points of the plane for activations, near each other where the activations point the same way.

    t-SNE of cosine distances, from a principal component start. Neighbourhoods can be read off the map; distances
    between far parts, sizes and empty space mean little. The outermost hundredth on each side is moved to the margin.

    Args:
        activations: P x U.
        seed: Seed of t-SNE, of little influence from this start.

    Returns:
        P x 2, in [0, 1].

    Raises:
        ImagesError: There are fewer than 5.
    """
    if len(activations) < MIN_ACTIVATIONS:
        raise ImagesError(
            f"A map needs {MIN_ACTIVATIONS} activations, and there are {len(activations)}; give more images."
        )
    perplexity = min(PERPLEXITY, (len(activations) - 1) / 3)
    tsne = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=seed)
    layout = np.asarray(tsne.fit_transform(activations.astype(np.float32)), dtype=np.float64)
    low, high = np.percentile(layout, [1, 99], axis=0)
    places: NDArray[np.float64] = np.clip((layout - low) / np.maximum(high - low, 1e-12), 0, 1)
    return places


def whitened(directions: Floats, activations: Floats) -> NDArray[np.float64]:
    """Directions times the inverse square root of the (shrunk, uncentred) second moment of the activations, M x U.

    Carter et al. multiply by the inverse itself. Their means are over hundreds of activations; over few, the inverse
    makes what is noise in them large, and neighbouring cells no longer look alike.

    References:
        O. Ledoit, M. Wolf: A well-conditioned estimator for large-dimensional covariance matrices, Journal of
        Multivariate Analysis 2004.
    """
    moment, _ = ledoit_wolf(activations.astype(np.float64), assume_centered=True)
    values, vectors = np.linalg.eigh(moment)
    kept = values > values[-1] * 1e-9  # none is 0 unless all activations are
    inverse_root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    found: NDArray[np.float64] = directions.astype(np.float64) @ inverse_root
    return found


def _activations(
    subject: Subject, indices: Sequence[int], batch_size: int, layer: str, positions: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Activations of all units at random positions, N x positions x U. Which ones depends on the image alone."""
    network = open_network(subject.classifier)
    parts = []
    for start in range(0, len(indices), batch_size):
        rows = indices[start : start + batch_size]
        seen = by_unit(network.record(subject.pixels(rows), [layer]).activations[layer])
        count = seen.shape[2]
        for row, values in zip(rows, seen, strict=True):
            chosen = np.random.default_rng([seed, row]).permutation(count)[:positions]
            parts.append(values[:, torch.from_numpy(chosen).to(values.device)].T)
    return {"activations": torch.stack(parts).float().cpu().numpy()}


def _shares(
    classes: NDArray[np.int64], row: NDArray[np.int64], column: NDArray[np.int64], grid: int, count: int
) -> NDArray[np.float64]:
    shares = np.zeros((grid, grid, count))
    known = classes >= 0
    np.add.at(shares, (row[known], column[known], classes[known]), 1)
    total: NDArray[np.float64] = shares / np.maximum(shares.sum(2, keepdims=True), 1)
    return total
