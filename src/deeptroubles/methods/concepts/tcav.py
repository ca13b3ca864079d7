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
from deeptroubles.network import Network, open_network, unit_layers
from deeptroubles.statistics.intervals import Interval

Floats = NDArray[np.float64]

RUNS, FOLDS = 5, 10
"""A concept is set against so many draws of random images; each time it is learned from all folds but one."""
RANDOM_CONCEPTS, _RANDOM_FOLDS = 30, 3
"""So many concepts of random images say what chance does."""
_RIDGE = 1.0
"""The penalty of the ridge regression: as strong as the variance of a unit, and the same for any number of images."""


class Read(NamedTuple):
    """What a layer's units answer to N images, as means over positions, and the gradient of the class's lead."""

    activations: Floats
    gradients: Floats


@dataclass(frozen=True)
class Concept:
    """What a concept does for the images of a class.

    Attributes:
        share: The TCAV score: the share of the images whose lead rises towards the concept, mean over draws. Where the
            rest of the network is nearly linear it is 0 or 1 for any concept, so that it is not judged.
        effect: By how much the lead changes, to first order, from images at random to the concept, in standard
            deviations of the lead over the images; signed, with an interval over images and draws.
        p: How often a concept that means nothing has as large an effect (two-sided). A small p says that the effect is
            there, not that it is large.
        accuracy: The share of images that were left out of training that are accuracy right as concept or not.
    """

    share: float
    effect: Interval
    p: float
    accuracy: float


class Vectors(NamedTuple):
    """Concept activation vectors of R draws x G folds, in units of the standard deviation of each unit.

    Attributes:
        direction: R x G x D, of length 1, towards the concept; learned without the fold.
        distance: R x G, how far the concept's images of the fold lie from others along it.
        accuracy: R x G, the share of these images that are accuracy right.
    """

    direction: Floats
    distance: Floats
    accuracy: Floats


def concept_layer(network: Network) -> str:
    """The layer that concepts are looked for in: the last one with units and positions.

    Raises:
        ModelError: No layer has positions.
    """
    spatial = [layer.name for layer in unit_layers(network) if layer.is_spatial]
    if not spatial:
        raise ModelError(
            "No layer of this model has positions (channels x height x width), so concepts cannot be looked for."
        )
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


def concept_vectors(concept: Floats, others: Floats, *, seed: int, runs: int = RUNS, folds: int = FOLDS) -> Vectors:
    """Concept activation vectors: what tells a concept's images from others, each time from other ones at random.

    Args:
        concept: N x D, activations for the concept's images, in standard deviations; N at least 2.
        others: M x D, of the images that the counterparts are drawn from; M at least 2.
        seed: Of what is drawn.
        runs: How many draws of counterparts.
        folds: Into how many parts both are cut, each of which is left out once (fewer where there are fewer images).

    References:
        B. Kim et al.: Interpretability beyond feature attribution (TCAV), ICML 2018, section 3.2, with ridge
        regression as the linear classifier.
    """
    random = np.random.default_rng(seed)
    size = min(len(concept), len(others))
    folds = min(folds, size)
    part, counterpart = random.permutation(len(concept)) % folds, np.arange(size) % folds
    found = []
    for _ in range(runs):
        drawn = others[random.permutation(len(others))[:size]]
        found += [
            _vector(concept[part != g], concept[part == g], drawn[counterpart != g], drawn[counterpart == g])
            for g in range(folds)
        ]
    directions, distances, accuracy = zip(*found, strict=True)
    shape = (runs, folds)
    return Vectors(np.reshape(directions, (*shape, -1)), np.reshape(distances, shape), np.reshape(accuracy, shape))


def random_vectors(others: Floats, size: int, *, seed: int, runs: int = RANDOM_CONCEPTS) -> Vectors:
    """Vectors of concepts that mean nothing: `size` of the images at random (at most half) against some of the rest.

    Args:
        others: M x D, as for `concept_vectors`; M at least 4.
        size: How many images the concept has that is tested against these.
        seed: Of what is drawn.
        runs: How many such concepts, one draw each.
    """
    random = np.random.default_rng(seed)
    size = min(size, len(others) // 2)
    found = []
    for _ in range(runs):
        drawn, draw = random.permutation(len(others)), int(random.integers(2**31))
        one, rest = others[drawn[:size]], others[drawn[size:]]
        found.append(concept_vectors(one, rest, seed=draw, runs=1, folds=_RANDOM_FOLDS))
    return Vectors(*(np.concatenate(column) for column in zip(*found, strict=True)))


def concept_effect(vectors: Vectors, at_random: Vectors, gradients: Floats, std: float, level: float) -> Concept:
    """What a concept does for the images of a class.

    Four errors of the effect are put together, as if they were independent: that of the direction (jackknife over the
    folds of the concept's images), of the distance (over folds), of the images that were drawn (over draws), and of the
    class's images.

    Args:
        vectors: Of the concept, at least two draws and two folds.
        at_random: Of concepts that mean nothing, at least two.
        gradients: N x D, of the class's images, in lead per standard deviation of a unit; at least two.
        std: The standard deviation of the lead over images; what effects are given in.
        level: Of the interval.

    References:
        B. Kim et al., ICML 2018, equation 2 (score), section 3.4 (random concepts). J. Tukey: Bias and confidence in
        not quite large samples, 1958 (jackknife).
    """
    slope = vectors.direction @ gradients.mean(0) / std
    effects = slope * vectors.distance
    value, (draws, folds) = float(effects.mean()), slope.shape
    of_direction = (folds - 1) ** 2 / folds * slope.mean(0).var(ddof=1) * vectors.distance.mean() ** 2
    of_distance = vectors.distance.mean(0).var(ddof=1) / folds * slope.mean() ** 2
    of_draws = effects.mean(1).var(ddof=1) / draws
    each_image = gradients @ (vectors.direction * vectors.distance[:, :, None]).mean((0, 1)) / std
    of_images = each_image.var(ddof=1) / len(each_image)
    error = np.sqrt(of_direction + of_distance + of_draws + of_images)
    reach = float(stats.t.ppf((1 + level) / 2, folds - 1) * error)
    chance = (at_random.direction @ gradients.mean(0) / std * at_random.distance).mean(1)
    # A concept is a mean over draws, those at random are one draw each: what chance does is not made small.
    away = abs(value - chance.mean()) / max(chance.std(ddof=1) * np.sqrt(1 + 1 / len(chance)), 1e-12)
    p = float(2 * stats.t.sf(away, len(chance) - 1))
    share = float((vectors.direction @ gradients.T > 0).mean())
    return Concept(share, Interval(value, value - reach, value + reach), p, float(vectors.accuracy.mean()))


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
    std = lead_std(classifier(images).detach().cpu().numpy())
    classes = targets.cpu().numpy()
    moves = (read.gradients * scale) @ (vectors.direction * vectors.distance[:, :, None]).mean((0, 1))
    return max(float(abs(moves[classes == k].mean()) / std[k]) for k in np.unique(classes))


def unit_scale(activations: Floats) -> Floats:
    """The standard deviation of each unit over images (N x D); 1 for a unit that is always the same."""
    scale = activations.std(0)
    return np.where(scale > 1e-8, scale, 1.0)


def lead_std(logits: NDArray[np.floating]) -> Floats:
    """The standard deviation of each class's lead (its logit minus the mean logit) over images. N x K to K."""
    std: Floats = (logits - logits.mean(1, keepdims=True)).astype(np.float64).std(0)
    return np.maximum(std, 1e-12)


def _vector(concept: Floats, concept_out: Floats, others: Floats, others_out: Floats) -> tuple[Floats, float, float]:
    """The direction of length 1 towards the concept, and what it says of images that it was not trained on."""
    points = np.concatenate([concept, others])
    middle = points.mean(0)
    points = points - middle
    labels = np.repeat([1.0, -1.0], [len(concept), len(others)])
    penalty, (count, units) = _RIDGE * len(points), points.shape
    if units < count:
        direction = np.linalg.solve(points.T @ points + penalty * np.eye(units), points.T @ labels)
    else:  # the same in its dual form, which is quicker here
        direction = points.T @ np.linalg.solve(points @ points.T + penalty * np.eye(count), labels)
    direction /= max(float(np.linalg.norm(direction)), 1e-12)
    inside, outside = (concept_out - middle) @ direction, (others_out - middle) @ direction
    accuracy = ((inside > 0).mean() + (outside <= 0).mean()) / 2
    return direction, float(inside.mean() - outside.mean()), float(accuracy)
