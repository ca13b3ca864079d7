"""A small network trained on scikit-learn's digits (8 x 8, gray), once per test run."""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from deeptroubles import Classifier

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digits() -> tuple[Tensor, Tensor]:
    """Images (N x 1 x 8 x 8, multiples of 1/255) and labels."""
    data = load_digits()
    return torch.from_numpy(data.images / 16 * 255).float().round()[:, None] / 255, torch.from_numpy(data.target).long()


@cache
def trained(seed: int = 0, epochs: int = 12) -> Classifier:
    """A convolutional network that knows the first 1,400 digits; the others are for the tests."""
    images, labels = (part[:1400] for part in digits())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(24 * 16, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
        )
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(epochs):
            for part in torch.randperm(len(images)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
                optimizer.step()
    model.zero_grad()
    return Classifier(model, size=8, channels=1, class_names=NAMES, name="digits").eval()


def unseen(count: int) -> tuple[Tensor, Tensor]:
    """Digits that `trained` has not seen."""
    images, labels = digits()
    return images[1400 : 1400 + count], labels[1400 : 1400 + count]
