"""The nearest images with another prediction, by the model's embedding and by pixels: natural counterfactuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine
from deeptroubles.methods.edits.nearest_others import nearest_others
from deeptroubles.network import open_network, penultimate_features
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject, logits_of

SIDE = 32
"""Images are compared by pixels at this many rows and columns, at most."""


@dataclass(frozen=True, repr=False)
class Described(Brief):
    """All images, described so that near ones can be found.

    Attributes:
        features: N x D: the input of the last layer, or the logits where the network has no such layer.
        pixels: N x P: pixels of small versions in [0, 1].
    """

    features: NDArray[np.float32]
    pixels: NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class Near(Brief):
    """Images that are near.

    Attributes:
        rows: The images, nearest first.
        distances: Their distances, as a share of the median distance between images.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]


def describe(recording: Recording, engine: Engine) -> Described:
    """Describe all images; the engine keeps the result."""
    rows = range(len(recording.logits))
    found = engine.map(_describe, recording.subject, rows, task="Reading embeddings", chunk=64)
    return Described(found["features"], (found["pixels"] / 255).astype(np.float32))


def describe_pixels(classifier: Classifier, pixels: Tensor, batch_size: int = 32) -> Described:
    """Describe some images, N x C x H x W in [0, 1]."""
    network, features = open_network(classifier), []
    for batch in torch.split(pixels, batch_size):
        read = penultimate_features(network, batch)
        features.append((logits_of(classifier, batch, batch_size) if read is None else read).float().cpu())
    side = [min(SIDE, length) for length in pixels.shape[-2:]]
    small = functional.interpolate(pixels.float(), side, mode="bilinear", antialias=True, align_corners=False)
    return Described(torch.cat(features).numpy(), small.clamp(0, 1).flatten(1).cpu().numpy())


def nearest_counterfactuals(
    described: Described, one: Described, predicted: NDArray[np.int64], own: int, to: int | None, count: int
) -> tuple[Near, Near]:
    """The nearest images with another prediction, by embedding and by pixels.

    Args:
        described: All images.
        one: The image in question, described.
        predicted: The predicted class of each image.
        own: The predicted class of the image in question.
        to: The prediction that the others must have. Default: any other than `own`.
        count: How many, at most.
    """
    allowed = predicted != own if to is None else predicted == to
    return (
        _near(one.features[0], described.features, allowed, count),
        _near(one.pixels[0], described.pixels, allowed, count),
    )


def _near(vector: NDArray[np.float32], vectors: NDArray[np.float32], allowed: NDArray[np.bool_], count: int) -> Near:
    rows, distances = nearest_others(vector, vectors, allowed, count)
    return Near(rows, distances / _typical(vectors))


def _typical(vectors: NDArray[np.float32]) -> float:
    """The median distance between images that stand half the set apart."""
    distances = np.linalg.norm(vectors - np.roll(vectors, max(1, len(vectors) // 2), axis=0), axis=1)
    return float(np.median(distances)) or 1.0


def _describe(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    found = describe_pixels(subject.classifier, subject.pixels(indices), batch_size)
    return {"features": found.features, "pixels": np.round(found.pixels * 255).astype(np.uint8)}
