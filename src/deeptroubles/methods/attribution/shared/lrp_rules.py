"""The rules of layer-wise relevance propagation: from the relevance of a layer's outputs to that of its inputs.

Every rule is written for a map `apply(x, weight) + bias` that is linear in x and in the weight: a convolution, a linear
layer, a batch normalization. With the contributions z_ij = x_i w_ij and a superscript + or - for their positive or
negative part, the share of input i in the relevance R_j of output j is

    epsilon      z_ij / (z_j + epsilon sign z_j)
    gamma        (z_ij + gamma z_ij+) / (z_j + gamma z_j+) where z_j >= 0, and with - for + where z_j < 0
    alpha_beta   alpha z_ij+ / z_j+ - beta z_ij- / z_j-
    z_box        (z_ij - low_i w_ij+ - high_i w_ij-) / sum over i of the same

where z_j, z_j+ and z_j- contain the bias (or its positive or negative part): the bias absorbs its share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


class Contributions:
    """Contributions of inputs to outputs through linear functions, computed once and used as often as needed.

    Attributes:
        output: The sums of the contributions.
    """

    def __init__(self, *terms: tuple[Callable[[Tensor], Tensor], Tensor]) -> None:
        self._leaves = [x.detach().requires_grad_() for _, x in terms]
        with torch.enable_grad():
            outputs = [function(leaf) for (function, _), leaf in zip(terms, self._leaves, strict=True)]
            self._output = reduce(torch.add, outputs)
        self.output = self._output.detach()

    def share(self, factors: Tensor) -> Tensor:
        """For each input, the sum of its contributions, each times the factor of its output."""
        signals = torch.autograd.grad(self._output, self._leaves, factors, retain_graph=True, materialize_grads=True)
        parts = [leaf.detach() * signal for leaf, signal in zip(self._leaves, signals, strict=True)]
        return reduce(torch.add, parts)


@dataclass(frozen=True)
class Weighted:
    """A layer with weights: its output is `apply(x, weight) + bias` (a bias that broadcasts over the output)."""

    apply: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    weight: Tensor
    bias: Tensor

    def all(self) -> Contributions:
        """All contributions except that of the bias."""
        return Contributions((self._with(self.weight), self.x))

    def positive(self) -> Contributions:
        """The positive contributions except that of the bias."""
        return self._signed(self.weight.clamp_min(0), self.weight.clamp_max(0))

    def negative(self) -> Contributions:
        """The negative contributions except that of the bias."""
        return self._signed(self.weight.clamp_max(0), self.weight.clamp_min(0))

    def box(self, low: Tensor, high: Tensor) -> Contributions:
        """Contributions of x beyond those of the value in [low, high] that would contribute least."""
        up, down = self.weight.clamp_min(0), self.weight.clamp_max(0)
        ends = (self._with(-up), low.expand_as(self.x)), (self._with(-down), high.expand_as(self.x))
        return Contributions((self._with(self.weight), self.x), *ends)

    def _signed(self, on_positive: Tensor, on_negative: Tensor) -> Contributions:
        terms = [(self._with(on_positive), self.x.clamp_min(0))]
        if (self.x < 0).any():
            terms.append((self._with(on_negative), self.x.clamp_max(0)))
        return Contributions(*terms)

    def _with(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: self.apply(x, weight)


Rule = Callable[[Weighted, Tensor], Tensor]
"""From a layer and the relevance of its outputs to the relevance of its inputs."""


def epsilon(layer: Weighted, relevance: Tensor, *, epsilon: float) -> Tensor:
    """Proportional to the contributions; weak or contradictory ones are damped."""
    every = layer.all()
    return every.share(divided(relevance, every.output + layer.bias, epsilon))


def gamma(layer: Weighted, relevance: Tensor, *, gamma: float) -> Tensor:
    """Proportional to the contributions, with more weight for those that have the sign of the output.

    For rectified inputs and outputs this is the rule of Montavon et al. (2019), section 10.2.
    """
    every, positive, bias = layer.all(), layer.positive(), layer.bias
    output = every.output + bias
    above = output >= 0
    up = torch.where(above, divided(relevance, output + gamma * (positive.output + bias.clamp_min(0))), 0.0)
    if above.logical_or(relevance == 0).all():  # as always before a rectifier
        return every.share(up) + gamma * positive.share(up)
    negative = layer.negative()
    down = torch.where(above, 0.0, divided(relevance, output + gamma * (negative.output + bias.clamp_max(0))))
    return every.share(up + down) + gamma * (positive.share(up) + negative.share(down))


def alpha_beta(layer: Weighted, relevance: Tensor, *, alpha: float) -> Tensor:
    """Positive and negative contributions separately: alpha times the former, alpha - 1 = beta times the latter.

    Where an output has contributions of one sign only, these get all of its relevance.
    """
    positive, negative = layer.positive(), layer.negative()
    above, below = positive.output + layer.bias.clamp_min(0), negative.output + layer.bias.clamp_max(0)
    weight = torch.where(below == 0, 1.0, torch.where(above == 0, 0.0, alpha))
    shares = positive.share(divided(weight * relevance, above))
    beta = weight - 1
    return shares - negative.share(divided(beta * relevance, below)) if beta.any() else shares


def z_box(layer: Weighted, relevance: Tensor, *, low: Tensor, high: Tensor) -> Tensor:
    """For inputs with bounds: proportional to the contributions beyond those of the least favorable value."""
    parts = layer.box(low, high)
    return parts.share(divided(relevance, parts.output))


def divided(relevance: Tensor, output: Tensor, epsilon: float = 0.0) -> Tensor:
    """Relevance per unit of output. Epsilon is a share of the root mean square of the image's outputs.

    Where the output is 0, no relevance is passed on.
    """
    if epsilon:
        scale = output.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (output.ndim - 1))
        output = output + torch.where(output < 0, -1.0, 1.0) * epsilon * scale
    empty = output == 0
    return torch.where(empty, 0.0, relevance / torch.where(empty, 1.0, output))


def vjp(function: Callable[..., Tensor], inputs: Sequence[Tensor], signal: Tensor) -> list[Tensor]:
    """The vector-Jacobian product of a function: the signal at its outputs, propagated to its inputs."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    with torch.enable_grad():
        return list(torch.autograd.grad(function(*leaves), leaves, signal, materialize_grads=True))
