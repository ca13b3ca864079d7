"""Tiny members of the large families, without biases, so that relevance must be conserved."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch normalization that has a scale but shifts nothing."""
    layer = nn.BatchNorm2d(channels)
    layer.running_var.copy_(torch.rand(channels) + 0.2)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    return layer


class Unit(nn.Sequential):
    """Convolution, normalization, rectifier in place."""

    def __init__(self, inputs: int, outputs: int, kernel: int, **options) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, bias=False, padding=kernel // 2, **options)
        super().__init__(conv, norm(outputs), nn.ReLU(inplace=True))


class Vgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(Unit(3, 6, 3), nn.MaxPool2d(2), Unit(6, 8, 3), Unit(8, 8, 3), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(
            nn.Linear(128, 10, bias=False), nn.ReLU(), nn.Dropout(), nn.Linear(10, 3, bias=False)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Residual(nn.Module):
    """A block with an identity skip and one whose skip is a strided convolution; one rectifier for all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit(3, 6, 3)
        self.first = nn.Sequential(Unit(6, 6, 3), nn.Conv2d(6, 6, 3, padding=1, bias=False), norm(6))
        self.second = nn.Sequential(Unit(6, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, bias=False), norm(8))
        self.skip = nn.Sequential(nn.Conv2d(6, 8, 1, stride=2, bias=False), norm(8))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 3, bias=False)

    def forward(self, x):
        x = functional.max_pool2d(self.stem(x), 3, 2, 1)
        x = self.relu(self.first(x) + x)
        x = self.relu(self.second(x) + self.skip(x))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Dense(nn.Module):
    """Normalization before the convolution: nothing to fold it into."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.layers = nn.ModuleList([self._layer(6), self._layer(10)])
        self.last = norm(14)
        self.head = nn.Linear(14, 3, bias=False)

    def _layer(self, inputs: int) -> nn.Sequential:
        return nn.Sequential(norm(inputs), nn.ReLU(), nn.Conv2d(inputs, 4, 3, padding=1, bias=False))

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        x = functional.avg_pool2d(functional.relu(self.last(x)), 2)
        return self.head(x.mean((2, 3)))


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit(3, 6, 3, stride=2)
        self.point, self.wide, self.after = Unit(6, 4, 1), Unit(6, 4, 5), Unit(6, 4, 1)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.head = nn.Linear(14, 3, bias=False)

    def forward(self, x):
        x = self.stem(x)
        mean = functional.avg_pool2d(x[:, :2], 3, 1, 1)
        x = torch.cat([self.point(x), self.wide(x), self.after(self.pool(x)), mean], 1)
        return self.head(functional.relu6(x).mean((2, 3)))


class Gated(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, x):
        x = functional.relu(self.first(x))
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.head(x.mean((2, 3)))


class Ghost(nn.Module):
    """Features made of features, cut to length, to which the skip is added in place (as in a GhostNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.main, self.cheap = Unit(3, 6, 3), Unit(6, 4, 1), Unit(4, 4, 3, groups=4)
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, x):
        x = self.stem(x)
        y = self.main(x)
        y = torch.cat([y, self.cheap(y)], 1)[:, :6]
        y += x
        y[:, 2] *= 0.5
        y[:, 3], y[:, 4:, :2] = y[:, 0], 0.0
        return self.head(functional.adaptive_avg_pool2d(y, 1).flatten(1))
