"""Small networks with known outputs, shared by the tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles import Classifier


class Plain(nn.Sequential):
    """Convolutions, a pooling and a linear head, for most tests."""

    def __init__(self, channels: int = 3, classes: int = 4, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(
                nn.Conv2d(channels, 6, 3, padding=1),
                nn.BatchNorm2d(6),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(6, 8, 3, stride=2, padding=1),
                nn.ReLU(inplace=True),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(8, classes),
            )
        self[1].running_mean.copy_(torch.linspace(-0.2, 0.2, 6))
        self[1].running_var.copy_(torch.linspace(0.5, 1.5, 6))


class Shared(nn.Module):
    """Breaks hook-based tools: a reused in-place ReLU, functional activations, residuals, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.mixed = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        y = self.relu(self.second(x) + x)
        y = functional.relu_(self.mixed(torch.cat([functional.avg_pool2d(x, 2), functional.max_pool2d(y, 2)], 1)))
        return self.head(y.mean((2, 3)))


class Untraceable(nn.Module):
    """Data-dependent control flow, which torch.export rejects."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > -1e9 else self.inner(-x)


class Formula(nn.Module):
    """A classifier written as a function of the pixels."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) * self.scale


def formula(function, size: int | tuple[int, int] = 28, channels: int = 1, names=None) -> Classifier:
    return Classifier(Formula(function), size=size, channels=channels, class_names=names)


def blobs(centers: list[tuple[int, int]], size: int = 28, radius: int = 3) -> np.ndarray:
    """White squares on black, one image per center."""
    images = np.zeros((len(centers), size, size), dtype=np.uint8)
    for image, (y, x) in zip(images, centers, strict=True):
        image[y - radius : y + radius + 1, x - radius : x + radius + 1] = 255
    return images
