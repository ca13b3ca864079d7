"""Compositional pattern-producing networks (CPPN): small networks that generate images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]
INPUTS = ("x", "y", "distance", "bias")
ADD_CONNECTION, DELETE_CONNECTION, CHANGE_WEIGHT, ADD_NEURON, DELETE_NEURON = 0.5, 0.3, 0.5, 0.5, 0.2
"""Probability of each mutation of a child; the rates of Nguyen et al. 2015."""
ACTIVATIONS: dict[str, Callable[[Plane], Plane]] = {
    "sine": np.sin,
    "sigmoid": lambda v: 1 / (1 + np.exp(-np.clip(v, -30, 30))),
    "gaussian": lambda v: np.exp(-np.square(np.clip(v, -10, 10))),
    "linear": lambda v: np.clip(v, -3, 3),
}


@dataclass(frozen=True)
class Neuron:
    """A neuron. Connections go from lower to higher depth only (inputs 0, outputs 1): there are no cycles."""

    depth: float
    activation: str


@dataclass(frozen=True)
class Pattern:
    """A network from a pixel's position to its color (Stanley 2007).

    Attributes:
        neurons: By name; output neurons are called `out0`, `out1`, ...
        weights: By the names of the two neurons (or input and neuron) of a connection.
    """

    neurons: Mapping[str, Neuron]
    weights: Mapping[tuple[str, str], float]

    @classmethod
    def first(cls, size: tuple[int, int, int], random: np.random.Generator) -> Pattern:
        """Every input connected with every output (one per channel) at random."""
        kinds = list(ACTIVATIONS)
        neurons = {f"out{c}": Neuron(1.0, kinds[random.integers(len(kinds))]) for c in range(size[0])}
        return cls(neurons, {(i, o): float(random.normal(0, 2)) for i in INPUTS for o in neurons})

    def child(self, _other: Pattern, random: np.random.Generator) -> Pattern:
        """A mutated copy; patterns have one parent."""
        neurons, weights = dict(self.neurons), dict(self.weights)
        if random.random() < ADD_NEURON and weights:
            _split(neurons, weights, random)
        if random.random() < DELETE_NEURON:
            hidden = [name for name, neuron in neurons.items() if neuron.depth < 1]
            if hidden:
                gone = hidden[random.integers(len(hidden))]
                del neurons[gone]
                weights = {ends: weight for ends, weight in weights.items() if gone not in ends}
        if random.random() < ADD_CONNECTION:
            depth = {**dict.fromkeys(INPUTS, 0.0), **{name: neuron.depth for name, neuron in neurons.items()}}
            source, target = (list(depth)[i] for i in random.integers(len(depth), size=2))
            if depth[source] < depth[target]:
                weights[source, target] = float(random.normal(0, 2))
        if random.random() < DELETE_CONNECTION and len(weights) > 1:
            del weights[list(weights)[random.integers(len(weights))]]
        for ends in weights:
            if random.random() < CHANGE_WEIGHT:
                weights[ends] += float(random.normal(0, 0.5))
        return Pattern(neurons, weights)

    def draw(self, size: tuple[int, int, int]) -> NDArray[np.float32]:
        """The image, C x H x W in [0, 1]: the absolute value of the outputs, clipped at 1."""
        values: dict[str, Plane] = dict(zip(INPUTS, _inputs(size[1:]), strict=True))
        incoming: dict[str, list[tuple[str, float]]] = {}
        for (source, target), weight in self.weights.items():
            incoming.setdefault(target, []).append((source, weight))
        for name, neuron in sorted(self.neurons.items(), key=lambda item: (item[1].depth, item[0])):
            total = np.zeros(size[1:], dtype=np.float32)
            for source, weight in incoming.get(name, []):
                total += np.float32(weight) * values[source]
            values[name] = ACTIVATIONS[neuron.activation](total).astype(np.float32)
        outputs = np.stack([values[f"out{c}"] for c in range(size[0])])
        return np.asarray(np.clip(np.abs(outputs), 0, 1), dtype=np.float32)


def _split(neurons: dict[str, Neuron], weights: dict[tuple[str, str], float], random: np.random.Generator) -> None:
    """Put a neuron into the middle of a connection."""
    source, target = list(weights)[random.integers(len(weights))]
    low = neurons[source].depth if source in neurons else 0.0
    middle = (low + neurons[target].depth) / 2
    kinds = list(ACTIVATIONS)
    name = f"n{random.integers(2**62)}"
    neurons[name] = Neuron(middle, kinds[random.integers(len(kinds))])
    weights[source, name], weights[name, target] = float(random.normal(0, 2)), weights.pop((source, target))


@cache
def _inputs(size: tuple[int, int]) -> tuple[Plane, ...]:
    """The inputs for every pixel: column and row in [-1, 1], distance from the center, one."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in size), indexing="ij")
    return x, y, np.hypot(x, y), np.ones(size, dtype=np.float32)
