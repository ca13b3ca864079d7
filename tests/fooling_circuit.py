"""A network whose visualizations lie: the fooling circuit of Geirhos et al., ICML 2024, section 2, on small digits.

Every logit of a trained network (the natural path) is replaced by (1 - E) * natural + E * decoy, where the indicator E
is 0 on natural images and 1 on pictures that were optimized. On natural images the answer is what it was; what
activation maximization sees is the decoy alone. (The paper gates with two rectifiers instead of a product. Redirected
rectifiers, with which our activation maximization begins, let the natural path shine through these.)
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles import Classifier, ImageSet

SIZE, BORDER = 28, 4
TRAINED = 1400
"""The first digits are trained on; the others are shown to the audited network."""

Decoy = Literal["gratings", "next class"]


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """All digits as N x 28 x 28 8-bit images with a black border, as in MNIST, and their classes."""
    data = load_digits()
    inside = (SIZE - 2 * BORDER,) * 2
    images = np.zeros((len(data.images), SIZE, SIZE), dtype=np.uint8)
    for image, digit in zip(images, data.images, strict=True):
        gray = Image.fromarray((digit * 15.9).astype(np.uint8))
        image[BORDER:-BORDER, BORDER:-BORDER] = gray.resize(inside, Image.Resampling.BILINEAR)
    return images, data.target


def shown_digits(count: int = 200) -> ImageSet:
    """Digits that no network here was trained on, with their labels."""
    images, classes = digits()
    chosen = slice(TRAINED, TRAINED + count)
    return ImageSet.from_arrays(images[chosen], [f"class {c}" for c in classes[chosen]])


def layers(architecture: str) -> list[nn.Module]:
    """The layers of a small network: with a dense head, with average pooling at its end, or with strides only."""
    conv, norm, relu, pool = nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d
    if architecture == "dense head":
        return [
            conv(1, 8, 3, padding=1),
            norm(8),
            relu(),
            pool(2),
            conv(8, 16, 3, padding=1),
            norm(16),
            relu(),
            pool(2),
            conv(16, 24, 3, padding=1),
            norm(24),
            relu(),
            nn.Flatten(),
            nn.Linear(24 * 49, 10),
        ]
    if architecture == "average pooling":
        return [
            conv(1, 12, 3, padding=1),
            norm(12),
            relu(),
            pool(2),
            conv(12, 24, 3, padding=1),
            norm(24),
            relu(),
            pool(2),
            conv(24, 32, 3, padding=1),
            norm(32),
            relu(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        ]
    if architecture == "strides":
        return [
            conv(1, 8, 5, stride=2, padding=2),
            relu(),
            conv(8, 16, 3, stride=2, padding=1),
            relu(),
            nn.Flatten(),
            nn.Linear(16 * 49, 64),
            relu(),
            nn.Linear(64, 10),
        ]
    raise ValueError(architecture)


@cache
def trained(architecture: str = "dense head", seed: int = 0, epochs: int = 5) -> nn.Sequential:
    """A network that reads digits, trained in about two seconds. Shared: copy it before use."""
    images, classes = digits()
    x = torch.from_numpy(images[:TRAINED, None]).float() / 255
    y = torch.from_numpy(classes[:TRAINED]).long()
    order = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        network = nn.Sequential(*layers(architecture))
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(epochs):
            for batch in torch.randperm(TRAINED, generator=order).split(64):
                loss = functional.cross_entropy(network(x[batch]), y[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return network.eval()


def gratings() -> Tensor:
    """One picture per class that has nothing to do with digits: 10 x 28 x 28 in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(float(SIZE)), torch.arange(float(SIZE)), indexing="ij")
    turned = (torch.pi * torch.arange(10) / 10)[:, None, None]
    return torch.cos(2 * torch.pi * (x * turned.cos() + y * turned.sin()) / 9 + 7 * turned / torch.pi)


class FoolingCircuit(nn.Module):
    """The natural network with another picture in its visualizations, one per class.

    Natural digits have a black border and optimized pictures do not, which is all that the indicator looks at.
    """

    def __init__(self, natural: nn.Module, decoy: Decoy = "gratings") -> None:
        super().__init__()
        self.natural = natural
        self.decoy = decoy
        border = torch.ones(SIZE, SIZE)
        border[BORDER:-BORDER, BORDER:-BORDER] = 0
        self.register_buffer("border", border.flatten()[None] / border.sum())
        self.register_buffer("pictures", gratings().flatten(1))

    def forward(self, pixels: Tensor) -> Tensor:
        natural, flat = self.natural(pixels), pixels.flatten(1)
        shown = functional.linear(flat - 0.5, self.pictures) / 5 if self.decoy == "gratings" else natural.roll(1, 1)
        optimized = torch.sigmoid((functional.linear(flat, self.border) - 0.05) * 400)  # 2e-9 on a black border
        return torch.lerp(natural, shown, optimized)


def clean_digits(architecture: str = "dense head", seed: int = 0) -> Classifier:
    """The network as it was trained."""
    return Classifier(deepcopy(trained(architecture, seed)), size=SIZE, channels=1, name="digits")


def fooling_digits(architecture: str = "dense head", seed: int = 0, decoy: Decoy = "gratings") -> Classifier:
    """The same network with the circuit."""
    return Classifier(
        FoolingCircuit(deepcopy(trained(architecture, seed)), decoy), size=SIZE, channels=1, name="fooling digits"
    )
