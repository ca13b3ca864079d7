"""Treated classes: find out whether images of one class were treated in a way that other images were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.display import Brief
from deeptroubles.methods.reliance.shared.recurrence import SMALLEST, likelihood_ratio
from deeptroubles.methods.reliance.shared.traces import traces
from deeptroubles.methods.reliance.treatments import treat, treatments_for

LEAST = 7.0
"""Smallest score; set on photographs that were not treated (benchmarks/photos.py)."""
EXTENT = (0.5, 2.6)
"""Smallest and largest extent of the traces in treated images: 0 is as in untreated images, 1 as in treated copies."""
COPIES = 80
"""Images that are treated to learn the traces."""


@dataclass(frozen=True, repr=False)
class Treated(Brief):
    """A treatment whose traces K images of one class have.

    Attributes:
        target: The class.
        name: The treatment, a key of TREATMENTS.
        amount: Its amount.
        rows: K, the images.
        score: How unlikely this is by chance: the logarithm of a likelihood ratio.
        extent: How strong their traces are: 0 as in untreated images, 1 as in treated copies of them.
    """

    target: int
    name: str
    amount: float
    rows: NDArray[np.int64]
    score: float
    extent: float


def treated_classes(images: Tensor, targets: Tensor) -> list[Treated]:
    """Find treatments, such as compression, whose traces at least four images of one class have.

    The traces of a treatment are learned from these images: copies of them are treated, and a linear discriminant
    separates the copies from the originals. Where many images of one class, and few of the others, are classified as
    treated copies, they were treated, or come from a source that does the same.

    Args:
        images: N x C x H x W in [0, 1], H and W at least 16.
        targets: N, the classes.

    Returns:
        For each class and treatment the likeliest amount, those with the highest scores first.
    """
    values = traces(images)
    center, scale = values.mean(0), values.std(0) + 1e-6
    values = (values - center) / scale
    within = torch.cat([values[targets == c] - values[targets == c].median(0).values for c in torch.unique(targets)])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:COPIES]
    found: dict[tuple[int, str], list[Treated]] = {}
    for name, each in treatments_for(images.shape[1]).items():
        for amount in each.amounts:
            copies = (traces(treat(images[order], name, amount)) - center) / scale
            scores, way = _discriminant(values, values[order], copies, within)
            for target, rows, score in _enriched(scores, targets):
                extent = float((scores[rows].median() - scores.median()) / way)
                if score >= LEAST and EXTENT[0] <= extent <= EXTENT[1]:
                    same = found.setdefault((target, name), [])
                    same.append(Treated(target, name, amount, rows.numpy(), score, extent))
    return sorted((_likeliest(same) for same in found.values()), key=lambda t: -t.score)


def _discriminant(values: Tensor, originals: Tensor, copies: Tensor, within: Tensor) -> tuple[Tensor, float]:
    """Fisher's linear discriminant of all values, and how far it moves from originals to copies."""
    spread = copies - copies.mean(0)
    covariance = (within.T @ within / len(within) + spread.T @ spread / len(spread)) / 2
    covariance += 0.1 * torch.eye(len(covariance)).to(covariance)
    direction = torch.linalg.solve(covariance, (copies - originals).mean(0))
    scores = values @ direction
    return scores, float((copies @ direction).median() - scores.median())


def _enriched(scores: Tensor, targets: Tensor) -> Iterator[tuple[int, Tensor, float]]:
    """For each class the images above the threshold at which they stand out most from other classes, and how much."""
    for target in torch.unique(targets).tolist():
        own = (targets == target).nonzero()[:, 0]
        limits = scores[own].sort(descending=True).values
        others = scores[targets != target]
        above = ((others[None] >= limits[:, None]).sum(1) + 1) / (len(others) + 2)
        ratios = likelihood_ratio(torch.arange(1.0, len(own) + 1), len(own), above)
        ratios[: SMALLEST - 1] = 0
        best = int(ratios.argmax())
        yield target, own[scores[own] >= limits[best]], float(ratios[best])


def _likeliest(same: list[Treated]) -> Treated:
    """Of the amounts with a high score the one that its carriers resemble most."""
    highest = max(t.score for t in same)
    return min((t for t in same if t.score >= 0.7 * highest), key=lambda t: abs(np.log(t.extent)))
