"""The activation of a unit, defined everywhere as its maximum over positions."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.errors import ModelError


def by_unit(activation: Tensor) -> Tensor:
    """The output of a layer with units and positions as its axes: N x U x P, positions in reading order.

    Args:
        activation: N x U x h x w (feature maps), N x U (a linear map, the logits) or N x T x U (tokens).

    Raises:
        ModelError: The output has another shape.
    """
    if activation.ndim == 4:
        return activation.flatten(2)
    if activation.ndim == 3:
        return activation.transpose(1, 2)
    if activation.ndim == 2:
        return activation[:, :, None]
    shape = " x ".join(map(str, activation.shape[1:]))
    raise ModelError(f"A layer whose output is {shape} has no units; choose one with channels, features or tokens.")


def unit_activation(activation: Tensor) -> Tensor:
    """The activation of every unit on every image: its maximum over positions, N x U."""
    return by_unit(activation).amax(2)
