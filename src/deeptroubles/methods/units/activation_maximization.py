"""Activation maximization: pictures that a unit answers to most (Erhan 2009, Olah et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Positive, Seed
from deeptroubles.methods.targets import as_batch
from deeptroubles.methods.units.shared.activations import unit_activation
from deeptroubles.methods.units.shared.ascent import LEARNING_RATE, activations_for_ascent, is_converged, maximize
from deeptroubles.methods.units.shared.objectives import Objective, gram_similarity, objective_of
from deeptroubles.methods.units.shared.parameterizations import Maco, Parameterization, Spectrum, parameterization_of
from deeptroubles.methods.units.shared.transformations import random_views, view
from deeptroubles.network import Layer, Network, open_network

ALL = -1
"""The unit of pictures of directions and whole layers."""


@dataclass(frozen=True)
class Visualization:
    """Pictures that units of a layer answer to, and how well that worked.

    Attributes:
        layer: The layer's name.
        units: Which unit each picture shows; -1 for directions and whole layers.
        images: M x C x H x W in [0, 1], exactly what an 8-bit file holds.
        activations: M, the unit's activation (its maximum over positions; for directions and layers the objective)
            on those very images, raw, without transformations.
        start_activations: M, the same on the start images.
        converged: M, whether the objective had stopped rising: a straight line through its last fifth rises by no
            more than 5 % of what was gained since the first step.
        dead: M, whether the picture is of no use: its activation is not above that of the start (below, where the
            unit was minimised). A unit without any gradient is dead in this sense.
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
    total_variation: float = 0.0,
    l2: float = 0.0,
    blur: float = 0.0,
    diversity: float = 0.0,
    negative: bool = False,
    seed: Seed = 0,
    batch_size: Count = 64,
) -> Visualization:
    """Pictures that maximise units of a layer, by gradient ascent from a random picture, all in one batch.

    The pictures have the model's own size and channels. A picture depends on its unit and the seed, and not on what
    else is in the batch (but for the last digits of single precision, which many steps can blow up).

    In the first 32 steps rectifiers through which no gradient gets pass on a redirected one, so that a unit which is
    silent on the start is found all the same (only for models that can be traced).

    Args:
        classifier: The classifier.
        layer: Name of a layer, or `logits`, whose units are the classes.
        units: Which units, one picture each; a repeated unit gives several pictures, from different noise. For
            `objective="direction"` an M x U tensor of directions; for `objective="layer"` it is ignored.
        objective: `channel` (mean over positions), `neuron` (one position), `direction` (dot product with a direction
            times cosine similarity, mean over positions) or `layer` (mean square of the whole layer, as in DeepDream).
        position: Row and column of the neuron. Default: the centre. (Of tokens: row 0 and the number of the token.)
        start: `noise`, `gray`, or one or M images in [0, 1].
        parameterization: `fourier`, `pixel`, or `maco`, which optimises only the phases and needs a spectrum.
        spectrum: Amplitudes and colors of the user's own images, from `data_spectrum`.
        steps: Number of steps of Adam.
        learning_rate: Its step size.
        decorrelate: Optimise decorrelated colors: those of the spectrum, or of ImageNet for 3 channels.
        transform: Show the network shifted, scaled and turned views and, unless it is one neuron, parts of the picture.
        total_variation: Weight of the mean absolute difference of neighbouring pixels, which is subtracted.
        l2: Weight of the mean squared distance to gray (0.5), which is subtracted.
        blur: Weight of the mean squared distance to the blurred picture, which is subtracted.
        diversity: Weight of the mean similarity (cosine of the Gram matrices at the layer) to the other pictures of
            the same unit, which is subtracted. Then all pictures are one batch.
        negative: Minimise instead.
        seed: Decides the noise and the views.
        batch_size: Most pictures that are optimised at once: what bounds the memory.

    Raises:
        ModelError: There is no such layer.
        UsageError: A unit, an objective, a parameterization or a start that does not exist or does not fit.

    References:
        C. Olah, A. Mordvintsev, L. Schubert: Feature Visualization, Distill 2017, and lucid 0.3.10.
        D. Erhan et al.: Visualizing Higher-Layer Features of a Deep Network, 2009.
    """
    network = open_network(classifier)
    with torch.inference_mode(mode=False), torch.enable_grad():
        pictures = parameterization_of(parameterization, classifier, spectrum, decorrelate=decorrelate)
        shown, names = _shown(objective, network.layer(layer), units, classifier.device)
        answer = objective_of(objective, network.layer(layer), position)
        parameters = _start(start, pictures, classifier, names, seed)
        views = random_views(classifier.size, steps, seed, crops=objective != "neuron") if transform else None
        activations = activations_for_ascent(network, layer)
        penalty = Penalty(total_variation, l2, blur)
        found, converged = [parameters[:0]], []
        for part in torch.split(torch.arange(len(names), device=shown.device), len(names) if diversity else batch_size):
            others = _others(shown[part])

            def value(images: Tensor, step: int, part: Tensor = part, others: Tensor = others) -> Tensor:
                seen = activations(images if views is None else view(images, views[step]), step)
                values = answer(seen, shown[part]) * (-1 if negative else 1) - penalty(images)
                return values - diversity * (gram_similarity(seen) * others).sum(1) if diversity else values

            end, history = maximize(
                pictures, parameters[part], value, steps=steps, learning_rate=learning_rate, task="Maximising"
            )
            found.append(end)
            converged.append(is_converged(history))
    measure = answer if objective in {"direction", "layer"} else _strongest
    images, before = (as_8_bit(pictures.images(p).detach()) for p in (torch.cat(found), parameters))
    after, at_start = (_measured(network, layer, measure, i, shown, batch_size) for i in (images, before))
    gained = after < at_start if negative else after > at_start
    return Visualization(layer, names, images, after, at_start, torch.cat(converged), ~gained)


class Penalty:
    """What is subtracted for pictures that are rough or far from gray; means over pixels, so that sizes compare."""

    def __init__(self, total_variation: float, l2: float, blur: float) -> None:
        self._total_variation, self._l2, self._blur = total_variation, l2, blur

    def __call__(self, images: Tensor) -> Tensor:
        """One number per picture."""
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
    """A Gaussian of one pixel's standard deviation; the border is repeated."""
    weights = torch.exp(-torch.arange(-2.0, 3.0, device=images.device).square() / 2)
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    planes = functional.pad(images.flatten(0, 1)[:, None], (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(planes, kernel[None, None]).reshape(images.shape)


def _shown(
    objective: str, layer: Layer, units: Sequence[int] | Tensor | None, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    """What the objective takes for every picture (indices, or directions), and the units' numbers."""
    if objective == "layer":
        return torch.zeros(1, 1, device=device), (ALL,)
    if units is None or not len(units):
        raise UsageError('Say which units; only objective="layer" shows the whole layer.')
    if objective == "direction":
        directions = torch.as_tensor(units, dtype=torch.float32, device=device)
        if directions.ndim != 2 or directions.shape[1] != layer.units or not (directions != 0).any(1).all():
            raise UsageError(f"Directions of {layer.name!r} are an M x {layer.units} tensor without rows of zeros.")
        return directions.detach().clone(), (ALL,) * len(directions)
    names = tuple(int(unit) for unit in units)
    if any(not 0 <= unit < layer.units for unit in names):
        raise UsageError(
            f"Layer {layer.name!r} has the units 0 to {layer.units - 1}; {min(names)} to {max(names)} were asked for."
        )
    return torch.tensor(names, dtype=torch.long, device=device), names


def _start(
    start: str | Tensor, pictures: Parameterization, classifier: Classifier, units: tuple[int, ...], seed: int
) -> Tensor:
    """Parameters to start from. The noise of a picture is decided by the seed, its unit and which copy of it it is."""
    if isinstance(start, Tensor):
        images = as_batch(classifier, start).detach().clone()
        if len(images) not in {1, len(units)}:
            raise UsageError(f"{len(images)} start images were given for {len(units)} pictures; give one, or one each.")
        return pictures.parameters(images.expand(len(units), -1, -1, -1)).contiguous()
    if start == "noise":
        copies = [units[:i].count(unit) for i, unit in enumerate(units)]
        keys = [[seed, unit + 1, copy] for unit, copy in zip(units, copies, strict=True)]
        return torch.stack([pictures.noise(np.random.default_rng(key)) for key in keys])
    if start != "gray":
        raise UsageError(f'There is no start {start!r}; give "noise", "gray" or images.')
    if isinstance(pictures, Maco):
        raise UsageError('Gray has no phases to start from; with "maco" start from noise or from images.')
    gray = torch.full((len(units), classifier.channels, *classifier.size), 0.5, device=classifier.device)
    return pictures.parameters(gray)


def _others(shown: Tensor) -> Tensor:
    """M x M weights with which a picture is compared with the other pictures of the same unit: their mean."""
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
