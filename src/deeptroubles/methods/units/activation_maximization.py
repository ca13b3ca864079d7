"""Activation maximization: pictures that excite a unit most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import UsageError
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, NonNegative, Positive, Seed
from deeptroubles.methods.targets import as_batch
from deeptroubles.methods.units.shared.activations import unit_activation
from deeptroubles.methods.units.shared.ascent import LEARNING_RATE, activations_for_ascent, is_converged, maximize
from deeptroubles.methods.units.shared.objectives import Objective, gram_similarity, objective_of
from deeptroubles.methods.units.shared.parameterizations import Maco, Parameterization, Spectrum, parameterization_of
from deeptroubles.methods.units.shared.transformations import random_views, view
from deeptroubles.network import Layer, Network, open_network

ALL = -1
"""The unit of pictures of directions and of whole layers."""


@dataclass(frozen=True, repr=False)
class Visualization(Brief):
    """Pictures that excite units of a layer, and the success of the optimization.

    Attributes:
        layer: The layer's name.
        units: The unit of each picture; -1 for directions and whole layers.
        images: M x C x H x W in [0, 1], rounded to 8 bits.
        activations: M, the unit's activation (its maximum over positions; for directions and layers the objective) on
            these images, without transformations.
        start_activations: M, the activation on the start images.
        converged: M, whether the objective stopped rising: a straight line through its last fifth rises by at most 5%
            of the total gain.
        dead: M, whether the picture failed: its activation is not above that of the start (not below, when the unit was
            minimized). A unit without any gradient is dead in this sense.
    """

    layer: str
    units: tuple[int, ...]
    images: Tensor
    activations: Tensor
    start_activations: Tensor
    converged: Tensor
    dead: Tensor


def activation_maximization(
    classifier: Classifier,
    layer: str,
    units: Sequence[int] | Tensor | None,
    *,
    objective: str = "channel",
    position: tuple[int, int] | None = None,
    start: str | Tensor = "noise",
    parameterization: str = "fourier",
    spectrum: Spectrum | None = None,
    steps: Count = 256,
    learning_rate: Positive = LEARNING_RATE,
    decorrelate: bool = True,
    transform: bool = True,
    total_variation: NonNegative = 0.0,
    l2: NonNegative = 0.0,
    blur: NonNegative = 0.0,
    diversity: NonNegative = 0.0,
    negative: bool = False,
    seed: Seed = 0,
    batch_size: Count = 64,
) -> Visualization:
    """Make pictures that excite units of a layer most, by gradient ascent from a random picture.

    The pictures have the model's size and channels. A picture depends on its unit and the seed, not on the rest of the
    batch (except for the rounding of single precision, which many steps can amplify).

    In the first 32 steps, rectifiers that block all gradients pass on a redirected gradient, so units that are inactive
    on the start can be maximized, too (only for models that can be traced).

    Args:
        classifier: The classifier.
        layer: Name of a layer, or `logits`, whose units are the classes.
        units: Units, one picture each; a repeated unit gives several pictures, from different noise. For
            `objective="direction"` an M x U tensor of directions; ignored for `objective="layer"`.
        objective: `channel` (mean over positions), `neuron` (one position), `direction` (dot product with a direction
            times cosine similarity, mean over positions) or `layer` (mean square of the whole layer, as in DeepDream).
        position: Row and column of the neuron (for tokens, row 0 and the index of the token). Default: the center.
        start: `noise`, `gray`, or one or M images in [0, 1].
        parameterization: `fourier`, `pixel`, or `maco`, which optimizes only the phases and needs a spectrum.
        spectrum: Amplitudes and colors of natural images, from `data_spectrum`.
        steps: Steps of Adam.
        learning_rate: Step size of Adam.
        decorrelate: Optimize decorrelated colors: those of the spectrum, or of ImageNet for 3 channels.
        transform: Show the network shifted, scaled and rotated views and, except for `neuron`, crops of the picture.
        total_variation: Weight of the penalty on the mean absolute difference of neighboring pixels.
        l2: Weight of the penalty on the mean squared distance to gray (0.5).
        blur: Weight of the penalty on the mean squared distance to the blurred picture.
        diversity: Weight of the penalty on the mean similarity (cosine of the Gram matrices at the layer) to the other
            pictures of the same unit. If above 0, all pictures are one batch.
        negative: Minimize instead.
        seed: Decides the noise and the views.
        batch_size: Largest number of pictures that are optimized at once, which bounds the memory.

    Returns:
        The pictures and their activations.

    Raises:
        ModelError: There is no such layer.
        UsageError: A unit, an objective, a parameterization or a start does not exist or does not fit.

    References:
        C. Olah, A. Mordvintsev, L. Schubert: Feature Visualization, Distill 2017, and lucid 0.3.10.
        D. Erhan et al.: Visualizing Higher-Layer Features of a Deep Network, 2009.
    """
    network = open_network(classifier)
    with torch.inference_mode(mode=False), torch.enable_grad():
        pictures = parameterization_of(parameterization, classifier, spectrum, decorrelate=decorrelate)
        shown, names = _shown(objective, network.layer(layer), units, classifier.device)
        objective_value = objective_of(objective, network.layer(layer), position)
        parameters = _start(start, pictures, classifier, names, seed)
        views = random_views(classifier.size, steps, seed, crops=objective != "neuron") if transform else None
        activations = activations_for_ascent(network, layer)
        penalty = Penalty(total_variation, l2, blur)
        found, converged = [parameters[:0]], []
        for part in torch.split(torch.arange(len(names), device=shown.device), len(names) if diversity else batch_size):
            others = _others(shown[part])

            def value(images: Tensor, step: int, part: Tensor = part, others: Tensor = others) -> Tensor:
                seen = activations(images if views is None else view(images, views[step]), step)
                values = objective_value(seen, shown[part]) * (-1 if negative else 1) - penalty(images)
                return values - diversity * (gram_similarity(seen) * others).sum(1) if diversity else values

            end, history = maximize(
                pictures, parameters[part], value, steps=steps, learning_rate=learning_rate, task="Maximizing"
            )
            found.append(end)
            converged.append(is_converged(history))
    measure = objective_value if objective in {"direction", "layer"} else _strongest
    images, before = (as_8_bit(pictures.images(p).detach()) for p in (torch.cat(found), parameters))
    after, at_start = (_measured(network, layer, measure, i, shown, batch_size) for i in (images, before))
    gained = after < at_start if negative else after > at_start
    return Visualization(layer, names, images, after, at_start, torch.cat(converged), ~gained)


class Penalty:
    """The penalties of pictures, as means over pixels, so that they do not depend on the size."""

    def __init__(self, total_variation: float, l2: float, blur: float) -> None:
        self._total_variation, self._l2, self._blur = total_variation, l2, blur

    def __call__(self, images: Tensor) -> Tensor:
        """One penalty per picture."""
        total = images.new_zeros(len(images))
        if self._total_variation:
            steps = [images.diff(dim=dim).abs().flatten(1).mean(1) for dim in (2, 3)]
            total = total + self._total_variation * (steps[0] + steps[1])
        if self._l2:
            total = total + self._l2 * (images - 0.5).square().flatten(1).mean(1)
        if self._blur:
            total = total + self._blur * (images - _blurred(images.detach())).square().flatten(1).mean(1)
        return total


def _blurred(images: Tensor) -> Tensor:
    """A Gaussian blur with a standard deviation of one pixel; the border is repeated."""
    weights = torch.exp(-torch.arange(-2.0, 3.0, device=images.device).square() / 2)
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    planes = functional.pad(images.flatten(0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(planes, kernel[None, None]).reshape(images.shape)


def _shown(
    objective: str, layer: Layer, units: Sequence[int] | Tensor | None, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    """The targets of the objective for every picture (indices, or directions), and the units."""
    if objective == "layer":
        return torch.zeros(1, 1, device=device), (ALL,)
    if units is None or not len(units):
        raise UsageError('Give units; only objective="layer" shows the whole layer.')
    if objective == "direction":
        directions = torch.as_tensor(units, dtype=torch.float32, device=device)
        if directions.ndim != 2 or directions.shape[1] != layer.units or not (directions != 0).any(1).all():
            raise UsageError(f"Directions of {layer.name!r} are an M x {layer.units} tensor without rows of zeros.")
        return directions.detach().clone(), (ALL,) * len(directions)
    names = tuple(int(unit) for unit in units)
    if any(not 0 <= unit < layer.units for unit in names):
        raise UsageError(
            f"Layer {layer.name!r} has the units 0 to {layer.units - 1}, not {min(names)} to {max(names)}."
        )
    return torch.tensor(names, dtype=torch.long, device=device), names


def _start(
    start: str | Tensor, pictures: Parameterization, classifier: Classifier, units: tuple[int, ...], seed: int
) -> Tensor:
    """The initial parameters. The noise of a picture depends on the seed, its unit and its number for that unit."""
    if isinstance(start, Tensor):
        images = as_batch(classifier, start).detach().clone()
        if len(images) not in {1, len(units)}:
            raise UsageError(f"{len(images)} start images were given for {len(units)} pictures; give one, or one each.")
        return pictures.parameters(images.expand(len(units), -1, -1, -1)).contiguous()
    if start == "noise":
        numbers = [units[:i].count(unit) for i, unit in enumerate(units)]
        keys = [[seed, unit + 1, number] for unit, number in zip(units, numbers, strict=True)]
        return torch.stack([pictures.noise(np.random.default_rng(key)) for key in keys])
    if start != "gray":
        raise UsageError(f'There is no start {start!r}; give "noise", "gray" or images.')
    if isinstance(pictures, Maco):
        raise UsageError('Gray has no phases; with "maco" start from noise or from images.')
    gray = torch.full((len(units), classifier.channels, *classifier.size), 0.5, device=classifier.device)
    return pictures.parameters(gray)


def _others(shown: Tensor) -> Tensor:
    """M x M weights that average over the other pictures of the same unit."""
    rows = shown.reshape(len(shown), -1)
    same = (rows[:, None] == rows).all(2).float().fill_diagonal_(0)
    return same / same.sum(1, keepdim=True).clamp_min(1)


def _strongest(activation: Tensor, units: Tensor) -> Tensor:
    return unit_activation(activation).gather(1, units[:, None])[:, 0]


def _measured(
    network: Network, layer: str, measure: Objective, images: Tensor, shown: Tensor, batch_size: int
) -> Tensor:
    parts = zip(torch.split(images, batch_size), torch.split(shown, batch_size), strict=True)
    with torch.no_grad():
        return torch.cat([measure(network.activations(image, [layer])[layer], what) for image, what in parts])
