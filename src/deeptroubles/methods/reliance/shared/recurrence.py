"""Pieces that recur in images of one class, and how unlikely that is by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.display import Brief

PIECE = 8
"""Side of a piece in pixels."""
SMALLEST = 4
"""In fewer images nothing recurs."""
CHANCE = 0.998
"""Pieces match if they are more alike than this share of pieces from different classes."""
LEAST = 8.0
"""Smallest score of a recurrence; set on photographs in which nothing was planted (benchmarks/photos.py)."""
VARIANCE, CORE = 0.58, 0.25
"""A pixel belongs to a recurring piece if its variance falls below this share of the usual variance, and the logarithm
of that share below this part of that of its steadiest pixel."""


@dataclass(frozen=True, repr=False)
class Recurrence(Brief):
    """A piece that recurs in K images of one class.

    Attributes:
        target: The class.
        rows: K, the images that carry it.
        masks: Where it is, K x H x W, bool.
        fixed: Whether it is at the same place in all of them.
        score: How unlikely this is by chance: the logarithm of a likelihood ratio, times the similarity.
    """

    target: int
    rows: NDArray[np.int64]
    masks: NDArray[np.bool_]
    fixed: bool
    score: float


@dataclass(frozen=True)
class Whitening:
    """A linear map that makes the values of usual pieces uncorrelated, with unit variance.

    What photographs have in common (smooth regions, edges) then counts no more than anything else, and two pieces
    without a common origin have a cosine near 0.
    """

    center: Tensor
    matrix: Tensor

    @staticmethod
    def of(images: Tensor, stride: int) -> Whitening:
        """Whiten the pieces of images, N x C x H x W."""
        pieces = functional.unfold(images, PIECE, stride=stride).transpose(1, 2).flatten(0, 1)
        some = pieces[torch.randperm(len(pieces), generator=torch.Generator().manual_seed(0))[:30_000]]
        center = some.mean(0)
        variances, vectors = torch.linalg.eigh(torch.cov((some - center).T))
        return Whitening(center, vectors * (variances.clamp_min(0) + 1e-3).rsqrt())

    def pieces(self, images: Tensor, stride: int) -> Tensor:
        """The whitened pieces of images, N x places x directions."""
        return (functional.unfold(images, PIECE, stride=stride).transpose(1, 2) - self.center) @ self.matrix


def likelihood_ratio(matches: Tensor, total: int, elsewhere: Tensor) -> Tensor:
    """How much likelier `matches` of `total` are with a rate of their own than with the rate `elsewhere`; logarithm."""
    rate = (matches / total).clamp(1e-6, 1 - 1e-6)
    usual = elsewhere.clamp(1e-6, 1 - 1e-6)
    ratio = matches * (rate / usual).log() + (total - matches) * ((1 - rate) / (1 - usual)).log()
    return torch.where(rate > usual, ratio, 0.0)


def quantile(values: Tensor, share: float) -> float:
    """A quantile of some 100,000 of the values (N), at equal distances."""
    some = values[:: 1 + len(values) // 100_000]
    return float(some.kthvalue(max(1, round(share * len(some)))).values)


def steady(carriers: Tensor, usual: Tensor) -> Tensor:
    """The pixels that vary less among carriers (K x C x H x W) than the `usual` variance (H x W): H x W, bool."""
    ratio = (carriers.var(0).mean(0) + 1e-4).log() - (usual + 1e-4).log()
    smooth = functional.avg_pool2d(functional.pad(ratio[None, None], (1,) * 4, mode="replicate"), 3, 1)[0, 0]
    limit = min(float(np.log(VARIANCE)), CORE * float(smooth.min()))  # an opaque patch is much steadier than that
    return (smooth < limit) & (ratio < limit)
