"""Concept activation vectors (TCAV): whether moving towards a concept moves the answer (Kim et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.statistics.intervals import Interval
from deeptroubles.network import Network, open_network
from deeptroubles.network.unit_layers import unit_layers

Floats = NDArray[np.float64]

RUNS = 30
"""How often a concept is set against images drawn at random."""
_RIDGE = 1.0
"""The penalty of the ridge regression: as strong as the variance of a unit, and the same for any number of images."""
_TRAINED_ON = 2 / 3
"""The share of a concept's images that a vector is trained on; the others say how well it does."""


class Read(NamedTuple):
    """What a layer's units answer to N images, as means over positions, and the gradient of the class's lead."""

    activations: Floats
    gradients: Floats


@dataclass(frozen=True)
class Concept:
    """What a concept does for the images of a class.

    Attributes:
        share: The TCAV score: the share of the images whose lead rises towards the concept, mean over runs. Where the
            rest of the network is nearly linear it is 0 or 1 for any concept, so that it is not judged.
        effect: By how much the lead changes, to first order, from images at random to the concept, in standard
            deviations of the lead over the images; signed, with an interval over images and runs.
        p: How often a vector of random images has as large a mean derivative (two-sided).
        told: The share of images that were left out of training that are told right as concept or not.
    """

    share: float
    effect: Interval
    p: float
    told: float


class Vectors(NamedTuple):
    """Concept activation vectors of R runs, in units of the standard deviation of each unit.

    Attributes:
        direction: R x D, of length 1, towards the concept.
        distance: R, how far the concept's left-out images lie from other images along it.
        told: R, the share of left-out images that are told right.
    """

    direction: Floats
    distance: Floats
    told: Floats


def concept_layer(network: Network) -> str:
    """The layer that concepts are looked for in: the last one with units and positions.

    Raises:
        ModelError: No layer has positions.
    """
    spatial = [layer.name for layer in unit_layers(network) if layer.is_spatial]
    if not spatial:
        raise ModelError("No layer of this model has positions (channels x height x width), so concepts cannot be "
                         "looked for.")  # fmt: skip
    return spatial[-1]


def read_layer(classifier: Classifier, images: Tensor, targets: Tensor, layer: str) -> Read:
    """What is needed of a layer: its units' activations, and what each of them does for the class.

    Activations are means over positions and gradients are sums over positions, so that their product is what the lead
    gains when a unit answers more by as much everywhere. The lead of a class is its logit minus the mean logit: unlike
    the logit, it does not change when all classes' logits do.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        targets: N, the class of each.
        layer: Name of a layer with positions.

    Returns:
        Activations and gradients, N x units each.
    """

    def lead(logits: Tensor) -> Tensor:
        return logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)

    recorded, gradients = open_network(classifier).gradients(images, [layer], lead)
    activations = recorded.activations[layer].double().mean((2, 3))
    return Read(activations.cpu().numpy(), gradients[layer].double().sum((2, 3)).cpu().numpy())


def concept_vectors(concept: Floats, others: Floats, *, seed: int, runs: int = RUNS) -> Vectors:
    """Concept activation vectors: what tells a concept's images from others, each time from other ones at random.

    Args:
        concept: N x D, activations for the concept's images, in standard deviations; N at least 2.
        others: M x D, of the images that the counterparts are drawn from.
        seed: Of what is drawn.
        runs: How many vectors.

    Source:
        B. Kim et al.: Interpretability beyond feature attribution (TCAV), ICML 2018, section 3.2, with ridge
        regression as the linear classifier.
    """
    random = np.random.default_rng(seed)
    trained = min(max(1, round(len(concept) * _TRAINED_ON)), len(concept) - 1, len(others) - 1)
    found = [_vector(*_split(concept, trained, random), *_split(others, trained, random)) for _ in range(runs)]
    directions, distances, told = zip(*found, strict=True)
    return Vectors(np.stack(directions), np.array(distances), np.array(told))


def random_vectors(others: Floats, size: int, *, seed: int, runs: int = RUNS) -> Vectors:
    """Vectors of concepts that mean nothing: `size` of the images at random (at most half) against some of the rest.

    Args:
        others: M x D, as for `concept_vectors`; M at least 4.
        size: How many images the concept has that is tested against these.
        seed: Of what is drawn.
        runs: How many vectors, each of other images.
    """
    random = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        drawn = random.permutation(len(others))
        size = min(size, len(others) // 2)
        found.append(
            concept_vectors(others[drawn[:size]], others[drawn[size:]], seed=int(random.integers(2**31)), runs=1)
        )
    return Vectors(*(np.concatenate(part) for part in zip(*found, strict=True)))


def concept_effect(vectors: Vectors, at_random: Vectors, gradients: Floats, spread: float, level: float) -> Concept:
    """What a concept does for the images of a class.

    The two errors of the effect are put together: that over images, and that over runs, each of which is trained on
    two thirds of the concept's images (jackknife with a third deleted: twice the variance between runs).

    Args:
        vectors: Of the concept.
        at_random: Of concepts that mean nothing, at least two.
        gradients: N x D, of the class's images, in lead per standard deviation of a unit; at least two.
        spread: The standard deviation of the lead over images; what effects are given in.
        level: Of the interval.

    Source:
        B. Kim et al., ICML 2018, equation 2 (score), section 3.4 (random concepts). J. Shao, C. F. J. Wu: A general
        theory for jackknife variance estimation, Annals of Statistics 1989.
    """
    derivatives = gradients @ vectors.direction.T
    moves = derivatives * vectors.distance / spread
    each_run, each_image = moves.mean(0), moves.mean(1)
    held_out = _TRAINED_ON / (1 - _TRAINED_ON)
    error = np.sqrt(each_image.var(ddof=1) / len(each_image) + held_out * each_run.var(ddof=1))
    runs = len(each_run)
    reach = float(stats.t.ppf((1 + level) / 2, min(runs, len(each_image)) - 1) * error)
    value = float(each_run.mean())
    chance = (gradients @ at_random.direction.T).mean(0)
    distance = abs(derivatives.mean() - chance.mean()) / max(chance.std(ddof=1) * np.sqrt(1 + 1 / runs), 1e-12)
    p = float(2 * stats.t.sf(distance, len(chance) - 1))
    share = float((derivatives > 0).mean())
    return Concept(share, Interval(value, value - reach, value + reach), p, float(vectors.told.mean()))


def tcav_score(classifier: Classifier, images: Tensor, targets: Tensor, concept: Tensor, *, seed: int = 0) -> float:
    """One number for a model: the largest effect of a concept on any class, in standard deviations of the class's lead.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1]; counterparts of the concept are drawn from them.
        targets: N, the class of each.
        concept: Images that show the concept, M x C x H x W.
        seed: Of the counterparts.
    """
    layer = concept_layer(open_network(classifier))
    parts = [
        read_layer(classifier, *part, layer)
        for part in zip(torch.split(images, 64), torch.split(targets, 64), strict=True)
    ]
    read = Read(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    shown = read_layer(classifier, concept, torch.zeros(len(concept), dtype=torch.long, device=concept.device), layer)
    scale = unit_scale(read.activations)
    vectors = concept_vectors(shown.activations / scale, read.activations / scale, seed=seed)
    spread = lead_spread(classifier(images).detach().cpu().numpy())
    classes = targets.cpu().numpy()
    moves = ((read.gradients * scale) @ vectors.direction.T * vectors.distance).mean(1)
    return max(float(abs(moves[classes == k].mean()) / spread[k]) for k in np.unique(classes))


def unit_scale(activations: Floats) -> Floats:
    """The standard deviation of each unit over images (N x D); 1 for a unit that is always the same."""
    scale = activations.std(0)
    return np.where(scale > 1e-8, scale, 1.0)


def lead_spread(logits: NDArray[np.floating]) -> Floats:
    """The standard deviation of each class's lead (its logit minus the mean logit) over images. N x K to K."""
    spread: Floats = (logits - logits.mean(1, keepdims=True)).astype(np.float64).std(0)
    return np.maximum(spread, 1e-12)


def _split(points: Floats, trained: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    order = random.permutation(len(points))
    return points[order[:trained]], points[order[trained:]]


def _vector(concept: Floats, concept_out: Floats, others: Floats, others_out: Floats) -> tuple[Floats, float, float]:
    """The direction of length 1 towards the concept, and what it says of images that it was not trained on."""
    points = np.concatenate([concept, others])
    middle = points.mean(0)
    points = points - middle
    labels = np.repeat([1.0, -1.0], [len(concept), len(others)])
    # Ridge regression in its dual form, which is quick where there are more units than images.
    direction = points.T @ np.linalg.solve(points @ points.T + _RIDGE * len(points) * np.eye(len(points)), labels)
    direction /= max(float(np.linalg.norm(direction)), 1e-12)
    inside, outside = (concept_out - middle) @ direction, (others_out - middle) @ direction
    told = ((inside > 0).mean() + (outside <= 0).mean()) / 2
    return direction, float(inside.mean() - outside.mean()), float(told)
