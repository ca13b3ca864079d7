"""An activation atlas: what a layer distinguishes, as a map of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.manifold import TSNE
from torch import Tensor

from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ImagesError
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.network import open_network
from deeptroubles.subject import Subject

Floats = NDArray[np.floating]

MIN_ACTIVATIONS = 5
"""Fewer activations cannot be laid out."""
PERPLEXITY = 30.0
GAP, SHADE = 2, 0.85
"""Pixels between the pictures of the drawn map, and the gray level of empty cells."""


@dataclass(frozen=True, repr=False)
class ActivationAtlas(Brief):
    """A map of a layer's activations, cut into grid x grid cells, row 0 at the top.

    Attributes:
        layer: The layer's name.
        positions: P x 2, the position of each activation: x to the right and y downwards, in [0, 1].
        images: P, the image of each activation.
        cells: M x 2, row and column of the drawn cells, in reading order.
        pictures: M x C x H x W in [0, 1], one per drawn cell.
        counts: grid x grid, the number of activations in each cell.
        shares: grid x grid x K, the share of each class among a cell's activations of labelled images; 0 where there
            are none.
    """

    layer: str
    positions: NDArray[np.float64]
    images: NDArray[np.int64]
    cells: NDArray[np.int64]
    pictures: Tensor
    counts: NDArray[np.int64]
    shares: NDArray[np.float64]

    def draw(self) -> Tensor:
        """The map as one picture, C x height x width in [0, 1]; empty cells are gray."""
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
    """Map the activations of a layer on images, with a picture for every region of the map.

    The activations of all units at random positions of each image are laid out so that similar directions are close to
    each other. For each cell of a grid over the map, the mean activation is shown by activation maximization of that
    direction.

    Args:
        subject: The classifier and the images.
        engine: Computes the activations.
        layer: Name of a layer.
        grid: Number of rows and columns of the map.
        min_activations: Number of activations that a cell needs to be drawn.
        positions: Number of positions per image (at most those of the layer).
        whiten: Remove from directions what all activations of the layer have in common (`whitened`).
        steps: Steps of activation maximization.
        seed: Decides the positions, the map and the pictures.
        batch_size: Number of pictures that are made at once.

    Returns:
        The map.

    Raises:
        ImagesError: There are fewer than 5 activations, or no cell has enough of them.
        ModelError: There is no such layer, or it has no units.

    References:
        S. Carter, Z. Armstrong, L. Schubert, I. Johnson, C. Olah: Activation Atlas, Distill 2019. The layout is t-SNE
        with cosine distances instead of UMAP, which would need a compiler (numba).
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
    nonzero = np.zeros((grid, grid), dtype=bool)  # where all activations are 0, there is no direction to draw
    nonzero[row[activations.any(1)], column[activations.any(1)]] = True
    cells = np.argwhere((counts >= min_activations) & nonzero)
    if not len(cells):
        raise ImagesError(
            f"No cell of the map has {min_activations} activations; give more images or positions, or a smaller grid."
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
    """Lay out activations in the plane, similar directions close to each other.

    t-SNE of cosine distances, initialized with principal components. Neighborhoods are meaningful; large distances,
    sizes and empty space mean little. The outermost 1% on each side is clipped to the margin. The seed has little
    influence with this initialization. P x U to P x 2, in [0, 1].

    Raises:
        ImagesError: There are fewer than 5 activations.
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
    """Directions times the inverse square root of the (shrunk, uncentered) second moment of the activations, M x U.

    Carter et al. multiply by the inverse itself, with means over hundreds of activations. Over few activations the
    inverse amplifies noise, and neighboring cells no longer look similar.

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
) -> Arrays:
    """Activations of all units at random positions, N x positions x U. The positions depend only on the image."""
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
