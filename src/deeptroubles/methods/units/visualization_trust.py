"""Four measures of how faithful the pictures of a unit are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Seed
from deeptroubles.methods.units.shared.agreement import Agreement, agreement
from deeptroubles.methods.units.shared.path_similarity import PathSimilarity, path_similarity
from deeptroubles.methods.units.shared.simulation import Simulation, simulation
from deeptroubles.network import LOGITS, PIXELS, Network, open_network, unit_layers
from deeptroubles.subject import Subject

MAX_LAYERS = 8
MIN_ENTRIES, MAX_ENTRIES = 8, 2048
"""Layers with fewer entries are skipped; of larger ones MAX_ENTRIES are drawn, which changes a correlation by 0.02."""

MAX_NATURAL = 5
"""Largest number of natural images of a unit in each group: references, strong and weak ones."""

MIN_NATURAL = 6
"""Smallest number of images that pictures can be compared with."""
PIXELS_SCALED = "scaled pixels"
GRID = 16
"""The longer side to which images are scaled before their pixels are compared."""


@dataclass(frozen=True, repr=False)
class Natural(Brief):
    """Natural images for each unit, by their positions. All U x K, in three disjoint groups.

    Attributes:
        references: Images that excite the unit strongly: the 1st, 3rd, 5th, ... of all.
        strong: Other strong images: the 2nd, 4th, 6th, ...
        weak: The images that excite it least.
    """

    references: NDArray[np.int64]
    strong: NDArray[np.int64]
    weak: NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Trust(Brief):
    """Measures of the faithfulness of pictures of units of a layer.

    Attributes:
        activation: Mean activation of a unit's pictures, as a multiple of the highest one on the images; NaN where that
            is not above 0. U.
        simulation: The 2-AFC task, with similarity measured in `pixels`, or in the features of the `network` at the
            last layer before the unit's.
        path: Similarity to natural images inside the network.
        agreement: Agreement of restarts, with the same two measures of similarity.
    """

    activation: NDArray[np.float64]
    simulation: Mapping[str, Simulation]
    path: PathSimilarity
    agreement: Mapping[str, Agreement]


def activation_ratio(pictures: NDArray[Any], natural: NDArray[Any]) -> NDArray[np.float64]:
    """Mean activation of pictures (U x R) as a multiple of the maximum on images (N x U); NaN unless it is above 0."""
    highest = np.asarray(natural, dtype=np.float64).max(0)
    mean = np.asarray(pictures, dtype=np.float64).mean(1)
    return np.asarray(np.divide(mean, highest, out=np.full_like(mean, np.nan), where=highest > 0))


def natural_images(activations: NDArray[Any]) -> Natural:
    """Choose the natural images that a unit's pictures are compared with: up to 5, or a third, for each group.

    Args:
        activations: N x U, N >= 6.

    Raises:
        UsageError: There are too few images.
    """
    count = len(activations)
    if count < MIN_NATURAL:
        raise UsageError(f"{count} images are too few to compare pictures of units with; give {MIN_NATURAL} or more.")
    each = min(MAX_NATURAL, count // 3)
    order = np.argsort(-activations, axis=0, kind="stable").T
    return Natural(order[:, 0 : 2 * each : 2], order[:, 1 : 2 * each : 2], order[:, ::-1][:, :each])


def visualization_trust(
    subject: Subject,
    engine: Engine,
    layer: str,
    pictures: NDArray[Any],
    picture_activations: NDArray[Any],
    activations: NDArray[Any],
    *,
    seed: Seed = 0,
) -> Trust:
    """Measure how faithful pictures of units are, on a subject's images.

    Args:
        subject: The classifier and the images.
        engine: Runs the forward passes.
        layer: The units' layer.
        pictures: R pictures of each unit from different starts, U x R x C x H x W, in [0, 1].
        picture_activations: The unit's activations on the pictures, U x R.
        activations: The units' activations on the images, N x U.
        seed: Decides which entries of large layers are compared.

    Returns:
        The four measures.

    Raises:
        UsageError: There are fewer than 6 images.
        ModelError: There is no such layer.

    References:
        J. Borowski et al.: Exemplary natural images explain CNN activations better than state-of-the-art feature
        visualization, ICLR 2021. R. S. Zimmermann, D. Klindt, W. Brendel: Measuring mechanistic interpretability at
        scale without humans, NeurIPS 2024. R. Geirhos et al.: Don't trust your eyes: on the (un)reliability of feature
        visualizations, ICML 2024.
    """
    natural = natural_images(activations)
    network = open_network(subject.classifier)
    layers = path_layers(network, layer)
    used = np.unique([natural.references, natural.strong, natural.weak])
    seen = engine.map(image_features, subject, used, task="Following images", chunk=16, layers=layers, seed=seed)
    flat = torch.from_numpy(np.concatenate(pictures)).to(subject.classifier.device)
    drawn = [features(network, part, layers, seed) for part in torch.split(flat, 16)]
    shown = {name: np.concatenate([d[name] for d in drawn]).reshape(*pictures.shape[:2], -1) for name in drawn[0]}

    def of(name: str, images: NDArray[np.int64]) -> NDArray[Any]:
        return seen[name][np.searchsorted(used, images)]

    encoders = {"pixels": PIXELS_SCALED, "network": layers[-1]}
    return Trust(
        activation=activation_ratio(picture_activations, activations),
        simulation={
            encoder: simulation(
                shown[name], of(name, natural.references), of(name, natural.strong), of(name, natural.weak)
            )
            for encoder, name in encoders.items()
        },
        path=path_similarity(
            {name: shown[name] for name in layers},
            {name: of(name, natural.references) for name in layers},
            natural.references,
        ),
        agreement={encoder: agreement(shown[name]) for encoder, name in encoders.items()},
    )


def path_layers(network: Network, layer: str) -> list[str]:
    """Up to 8 layers before a layer, evenly spaced, including the last one; the pixels where there are none.

    Layers whose units are the classes, and layers with few entries, are skipped.
    """
    network.layer(layer)
    order = [other.name for other in network.layers]
    end = len(order) if layer == LOGITS else order.index(layer)
    before = [x for x in unit_layers(network) if order.index(x.name) < end and x.shape != (network.classifier.classes,)]
    found = [x.name for x in before if math.prod(x.shape) >= MIN_ENTRIES] or [PIXELS]
    chosen = np.linspace(len(found) - 1, 0, min(len(found), MAX_LAYERS)).round().astype(int)
    return [found[i] for i in chosen[::-1]]


def features(network: Network, pixels: Tensor, layers: Sequence[str], seed: int = 0) -> Arrays:
    """The features by which pictures are compared: entries of layers, and scaled pixels. N x D each.

    The entries are the same for all pictures. The pixels are averaged over a coarse grid and standardized in every
    channel, so brightness and contrast have no influence.
    """
    recorded = network.record(pixels, layers).activations
    found = {PIXELS_SCALED: _scaled(pixels)}
    for i, name in enumerate(layers):
        flat = recorded[name].flatten(1)
        size = flat.shape[1]
        chosen = np.sort(np.random.default_rng([seed, i]).permutation(size)[:MAX_ENTRIES])
        found[name] = flat[:, torch.from_numpy(chosen).to(flat.device)]
    return {name: value.cpu().numpy() for name, value in found.items()}


def image_features(
    subject: Subject, indices: Sequence[int], batch_size: int, layers: Sequence[str], seed: int
) -> Arrays:
    """The features of images of a subject, as work of an engine."""
    network = open_network(subject.classifier)
    parts = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    found = [features(network, subject.pixels(part), layers, seed) for part in parts]
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def _scaled(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[2:]
    step = max(1.0, max(height, width) / GRID)
    small = functional.adaptive_avg_pool2d(pixels, (max(1, round(height / step)), max(1, round(width / step))))
    centered = small.flatten(2) - small.flatten(2).mean(2, keepdim=True)
    return (centered / centered.std(2, keepdim=True).clamp_min(1e-6)).flatten(1)
