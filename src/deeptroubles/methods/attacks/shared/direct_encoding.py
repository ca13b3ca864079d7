"""Direct encoding: every pixel is a gene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 0.1
"""Share of the pixels that a mutation changes."""
ETA = 15
"""Index of the polynomial mutation; higher means smaller changes."""
CROSSOVER = 0.5
"""Share of the children that have two parents."""


@dataclass(frozen=True)
class Pixels:
    """An image, C x H x W in [0, 1]. Settings as in the code of Nguyen et al. 2015."""

    values: NDArray[np.float32]

    @classmethod
    def first(cls, size: tuple[int, int, int], random: np.random.Generator) -> Pixels:
        """Uniform noise."""
        return cls(random.random(size, dtype=np.float32))

    def child(self, other: Pixels, random: np.random.Generator) -> Pixels:
        """A child: sometimes crossed with another image, always mutated (polynomial mutation, Deb and Agrawal 1999)."""
        values = self.values
        if random.random() < CROSSOVER:
            values = np.where(random.random(values.shape) < 0.5, values, other.values)
        draw = random.random(values.shape)
        power = 1 / (ETA + 1)
        step = np.where(draw < 0.5, (2 * draw) ** power - 1, 1 - (2 * (1 - draw)) ** power)
        changed = np.where(random.random(values.shape) < RATE, values + step, values)
        return Pixels(np.clip(changed, 0, 1).astype(np.float32))

    def draw(self, _size: tuple[int, int, int]) -> NDArray[np.float32]:
        """The image itself."""
        return self.values
