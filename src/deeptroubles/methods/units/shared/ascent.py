"""The gradient ascent of activation maximization, caricatures and DeepDream."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.methods.units.shared.parameterizations import Parameterization
from deeptroubles.methods.units.shared.redirected_relu import RedirectedReLU
from deeptroubles.network import Network, TracedNetwork, in_fast_layout, optimized
from deeptroubles.progress import track

LEARNING_RATE = 0.025
_REDIRECTED_STEPS = 32  # lucid takes 16, at twice the learning rate

Value = Callable[[Tensor, int], Tensor]
"""Maps M pictures (M x C x H x W) and the index of the step to the maximized value of each picture."""


def maximize(
    pictures: Parameterization, start: Tensor, value: Value, *, steps: int, learning_rate: float, task: str
) -> tuple[Tensor, Tensor]:
    """Optimize the parameters of pictures with Adam, which treats every picture of a batch independently.

    Returns:
        The parameters (like `start`), and the values at every step (steps x M).
    """
    parameters = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=learning_rate)
    history = []
    for step in track(range(steps), task):
        values = value(pictures.images(parameters), step)
        (parameters.grad,) = torch.autograd.grad(-values.sum(), parameters)
        optimizer.step()
        history.append(values.detach())
    return parameters.detach(), torch.stack(history)


def activations_for_ascent(network: Network, layer: str) -> Callable[[Tensor, int], Tensor]:
    """The output of a layer for pictures at a step, with redirected rectifiers in the first 32 steps.

    Batch normalizations are fused where the layer still exists afterwards, and on a CPU channels come last, which is
    faster. None of this applies to a network that could not be traced.
    """
    if not isinstance(network, TracedNetwork):
        return lambda pictures, _: network.activations(pictures, [layer])[layer]
    plain = optimized(network, [layer])
    redirected = plain.with_rule("relu", RedirectedReLU.apply)

    def activations(pictures: Tensor, step: int) -> Tensor:
        chosen = redirected if step < _REDIRECTED_STEPS else plain
        return chosen.activations(in_fast_layout(chosen, pictures), [layer])[layer]

    return activations


def is_converged(history: Tensor) -> Tensor:
    """Whether values (steps x M) stopped rising: a line through the last fifth rises by at most 5% of the gain."""
    last = history[-max(2, len(history) // 5) :].double()
    if len(last) < 2:
        return torch.zeros(history.shape[1], dtype=torch.bool, device=history.device)
    time = torch.linspace(-0.5, 0.5, len(last), dtype=last.dtype, device=last.device)[:, None]
    rise = (time * (last - last.mean(0))).sum(0) / time.square().sum()
    return rise <= 0.05 * (last.mean(0) - history[0]).clamp_min(0)
