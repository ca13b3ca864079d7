"""Testing with concept activation vectors (TCAV): does moving towards a concept change the prediction?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.network import Network, open_network, unit_layers
from deeptroubles.statistics.intervals import Interval

Floats = NDArray[np.float64]

RUNS, FOLDS = 5, 10
"""Number of draws of random images that a concept is compared with, and of folds of cross-validation."""
RANDOM_CONCEPTS, _RANDOM_FOLDS = 30, 3
"""Number of concepts made of random images, which estimate the effect of chance."""
_RIDGE = 1.0
"""The penalty of the ridge regression, in variances of a unit; it does not depend on the number of images."""


class Read(NamedTuple):
    """Activations of a layer's units on N images (mean over positions), and gradients of the class's lead."""

    activations: Floats
    gradients: Floats


@dataclass(frozen=True)
class Concept:
    """The effect of a concept on the images of a class.

    Attributes:
        share: The TCAV score: the share of the images whose lead rises towards the concept, mean over draws. Where the
            rest of the network is nearly linear it is 0 or 1 for any concept, so it is not judged.
        effect: The first-order change of the lead from random images to the concept, in standard deviations of the lead
            over the images; signed, with an interval over images and draws.
        p: How often a concept of random images has as large an effect (two-sided). A small p means that there is an
            effect, not that it is large.
        accuracy: The share of held-out images that are classified correctly as the concept or not.
    """

    share: float
    effect: Interval
    p: float
    accuracy: float


class Vectors(NamedTuple):
    """Concept activation vectors of R draws x G folds, in standard deviations of each unit.

    Attributes:
        direction: R x G x D, of norm 1, towards the concept; trained without the fold.
        distance: R x G, the distance of the fold's concept images from others along the direction.
        accuracy: R x G, the share of these images that are classified correctly.
    """

    direction: Floats
    distance: Floats
    accuracy: Floats


def concept_layer(network: Network) -> str:
    """The layer in which concepts are measured: the last one with units and positions.

    Raises:
        ModelError: No layer has positions.
    """
    spatial = [layer.name for layer in unit_layers(network) if layer.is_spatial]
    if not spatial:
        raise ModelError(
            "No layer of this model has positions (channels x height x width), so concepts cannot be measured."
        )
    return spatial[-1]


def read_layer(classifier: Classifier, images: Tensor, targets: Tensor, layer: str) -> Read:
    """The activations of a layer's units, and the gradients of the class's lead with respect to them.

    Activations are means over positions and gradients are sums over positions, so their product is the change of the
    lead when a unit changes equally everywhere. The lead of a class is its logit minus the mean logit: unlike the
    logit, it does not change when the logits of all classes change equally.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        targets: N, the class of each.
        layer: Name of a layer with positions.

    Returns:
        Activations and gradients, N x units each.

    Raises:
        NoGradientError: The gradient is zero on every image.
    """

    def lead(logits: Tensor) -> Tensor:
        return logits.gather(1, targets[:, None])[:, 0] - logits.mean(1)

    recorded, gradients = open_network(classifier).gradients(images, [layer], lead)
    activations = recorded.activations[layer].double().mean((2, 3))
    slopes = refuse_zero(classifier, gradients[layer], f"layer {layer!r}")
    return Read(activations.cpu().numpy(), slopes.double().sum((2, 3)).cpu().numpy())


def concept_vectors(concept: Floats, others: Floats, *, seed: int, runs: int = RUNS, folds: int = FOLDS) -> Vectors:
    """Train concept activation vectors, which separate a concept's images from random draws of other images.

    Args:
        concept: N x D, activations on the concept's images, in standard deviations; N at least 2.
        others: M x D, activations on the images from which others are drawn; M at least 2.
        seed: Seed of the draws.
        runs: Number of draws.
        folds: Number of folds, each of which is held out once (fewer if there are fewer images).

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
    """Vectors of `runs` concepts of random images: `size` of M >= 4 images (at most half) against some of the rest."""
    random = np.random.default_rng(seed)
    size = min(size, len(others) // 2)
    found = []
    for _ in range(runs):
        drawn, draw = random.permutation(len(others)), int(random.integers(2**31))
        one, rest = others[drawn[:size]], others[drawn[size:]]
        found.append(concept_vectors(one, rest, seed=draw, runs=1, folds=_RANDOM_FOLDS))
    return Vectors(*(np.concatenate(column) for column in zip(*found, strict=True)))


def concept_effect(vectors: Vectors, at_random: Vectors, gradients: Floats, std: float, level: float) -> Concept:
    """The effect of a concept on the images of a class.

    The variance of the effect is the sum of four, taken as independent: of the direction (jackknife over the folds of
    the concept's images), of the distance (over folds), of the drawn images (over draws), and of the class's images.

    Args:
        vectors: Vectors of the concept, at least two draws and two folds.
        at_random: Vectors of random concepts, at least two.
        gradients: N x D, on the class's images, in lead per standard deviation of a unit; at least two.
        std: Standard deviation of the lead over images, the unit of effects.
        level: Level of the interval.

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
    # A concept is a mean over draws, random ones are one draw each, so the effect of chance is not underestimated.
    away = abs(value - chance.mean()) / max(chance.std(ddof=1) * np.sqrt(1 + 1 / len(chance)), 1e-12)
    p = float(2 * stats.t.sf(away, len(chance) - 1))
    share = float((vectors.direction @ gradients.T > 0).mean())
    return Concept(share, Interval(value, value - reach, value + reach), p, float(vectors.accuracy.mean()))


def unit_scale(activations: Floats) -> Floats:
    """The standard deviation of each unit over images (N x D); 1 for a constant unit."""
    scale = activations.std(0)
    return np.where(scale > 1e-8, scale, 1.0)


def lead_std(logits: NDArray[np.floating]) -> Floats:
    """The standard deviation of each class's lead (its logit minus the mean logit) over images. N x K to K."""
    std: Floats = (logits - logits.mean(1, keepdims=True)).astype(np.float64).std(0)
    return np.maximum(std, 1e-12)


def _vector(concept: Floats, concept_out: Floats, others: Floats, others_out: Floats) -> tuple[Floats, float, float]:
    """The direction of norm 1 towards the concept, and its distance and accuracy on the held-out images."""
    points = np.concatenate([concept, others])
    middle = points.mean(0)
    points = points - middle
    labels = np.repeat([1.0, -1.0], [len(concept), len(others)])
    penalty, (count, units) = _RIDGE * len(points), points.shape
    if units < count:
        direction = np.linalg.solve(points.T @ points + penalty * np.eye(units), points.T @ labels)
    else:  # the dual form, which is faster here
        direction = points.T @ np.linalg.solve(points @ points.T + penalty * np.eye(count), labels)
    direction /= max(float(np.linalg.norm(direction)), 1e-12)
    inside, outside = (concept_out - middle) @ direction, (others_out - middle) @ direction
    accuracy = ((inside > 0).mean() + (outside <= 0).mean()) / 2
    return direction, float(inside.mean() - outside.mean()), float(accuracy)
