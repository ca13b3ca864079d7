"""Small networks, and their training on scenes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles.training.fit import Schedule, fit


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def plain(classes: int) -> nn.Module:
    """Four convolutions, max pooling, and global average pooling."""
    return nn.Sequential(
        _block(3, 16),
        nn.MaxPool2d(2),
        _block(16, 32),
        nn.MaxPool2d(2),
        _block(32, 64),
        _block(64, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


class _Residual(nn.Module):
    """A convolution of stride 2 and another one, with a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.last_norm = nn.BatchNorm2d(outputs)
        self.carry = nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.last_norm(self.second(functional.relu(self.norm(self.first(x)))))
        return functional.relu(inner + self.carry(x))


def residual(classes: int) -> nn.Module:
    """Two residual blocks of stride 2, and global max pooling."""
    return nn.Sequential(
        _block(3, 16),
        nn.MaxPool2d(2),
        _Residual(16, 32),
        _Residual(32, 64),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = {"plain": plain, "residual": residual}


def trained(
    build: Callable[[int], nn.Module],
    pixels: Tensor,
    classes: Tensor,
    seed: int,
    *,
    epochs: int = 8,
    device: str = "cpu",
) -> nn.Module:
    """Train a network by Adam with a one-cycle learning rate.

    Args:
        build: Makes the untrained network, from the number of classes.
        pixels: N x 3 x H x W in [0, 1].
        classes: N class indices.
        seed: Seed of the weights and of the order of images; the global generator is left unchanged.
        epochs: Passes over the images.
        device: Where to train.

    Returns:
        The network in eval mode, on the CPU.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: nn.Module = build(int(classes.max()) + 1).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        pixels, classes = pixels.to(device, memory_format=torch.channels_last), classes.to(device)
        fit(network, lambda rows: 2 * pixels[rows] - 1, classes, Schedule(epochs=epochs))
    return network.cpu()
