"""Objectives: the maximized value of each picture, from the output of a layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.errors import UsageError, nearest
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.network import Layer

OBJECTIVES = ("channel", "neuron", "direction", "layer")
Objective = Callable[[Tensor, Tensor], Tensor]
"""Maps the output of a layer for M pictures, and the unit or direction of each, to M values."""

_MIN_SIMILARITY = 0.1


def objective_of(name: str, layer: Layer, position: tuple[int, int] | None = None) -> Objective:
    """The objective of that name.

    Raises:
        UsageError: There is no such objective, or the layer has no such position.
    """
    if name not in OBJECTIVES:
        raise UsageError(
            f"There is no objective {name!r}.{nearest(name, OBJECTIVES)} There are {', '.join(OBJECTIVES)}."
        )
    if name == "neuron":
        return _neuron(layer, position)
    if position is not None:
        raise UsageError(f'A position needs objective="neuron"; {name!r} uses all positions.')
    return {"channel": _channel, "direction": _direction, "layer": _layer}[name]


def dot_times_cosine(activation: Tensor, wanted: Tensor, power: float, dim: tuple[int, ...]) -> Tensor:
    """The dot product times a power of the cosine similarity, clipped to at least 0.1.

    The clipping keeps a gradient for orthogonal vectors, and the sign for opposite ones.

    References:
        lucid 0.3.10, `optvis/objectives_util.py`, `_dot_cossim`.
    """
    dot = (activation * wanted).sum(dim)
    cosine = dot / (activation.square().sum(dim).sqrt() * wanted.square().sum(dim).sqrt()).clamp_min(1e-6)
    return dot * cosine.clamp_min(_MIN_SIMILARITY) ** power


def gram_similarity(activation: Tensor) -> Tensor:
    """M x M cosine similarities of Gram matrices (which units are active together), a similarity of styles.

    References:
        lucid 0.3.10, `optvis/objectives.py`, `diversity`.
    """
    flat = by_unit(activation)
    grams = functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), eps=1e-10)
    return grams @ grams.T


def _channel(activation: Tensor, units: Tensor) -> Tensor:
    """The mean over positions."""
    return _of_units(activation, units).mean(1)


def _neuron(layer: Layer, position: tuple[int, int] | None) -> Objective:
    """One position, the center by default."""
    rows, columns = layer.shape[1:] if len(layer.shape) == 3 else (1, layer.shape[0] if len(layer.shape) == 2 else 1)
    row, column = (rows // 2, columns // 2) if position is None else position
    if not (0 <= row < rows and 0 <= column < columns):
        raise UsageError(f"Layer {layer.name!r} has {rows} x {columns} positions, so not ({row}, {column}).")
    return lambda activation, units: _of_units(activation, units)[:, row * columns + column]


def _direction(activation: Tensor, directions: Tensor) -> Tensor:
    """Dot product times cosine similarity with M x U vectors, mean over positions."""
    return dot_times_cosine(by_unit(activation), directions[:, :, None], 1.0, (1,)).mean(1)


def _layer(activation: Tensor, _: Tensor) -> Tensor:
    """The mean square of everything."""
    return activation.flatten(1).square().mean(1)


def _of_units(activation: Tensor, units: Tensor) -> Tensor:
    return by_unit(activation)[torch.arange(len(units), device=units.device), units]
