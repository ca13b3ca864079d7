"""ROAD: is a map right about which pixels matter, measured by removing them without leaving a trace?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.attribution.shared.quality import to_pixels
from deeptroubles.methods.targets import Targets, as_batch, as_targets
from deeptroubles.subject import logits_of

REMOVED = (0.1, 0.3, 0.5, 0.7, 0.9)
_NOISE = 0.01
_NEIGHBORS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}
"""Weights of the neighbors of a pixel, below and to the right; those opposite have the same."""


@dataclass(frozen=True, repr=False)
class Road(Brief):
    """The target's probability as pixels are removed.

    Attributes:
        most_first: With the most relevant share of the pixels removed, N x S; with a faithful map it falls early.
        least_first: With the least relevant share removed, N x S; with a faithful map it stays.
    """

    most_first: Tensor
    least_first: Tensor

    @property
    def gap(self) -> Tensor:
        """Mean of `least_first` minus mean of `most_first`, in [-1, 1]; higher is better, 0 is a random order. N."""
        return self.least_first.mean(1) - self.most_first.mean(1)


def road(
    classifier: Classifier,
    images: Tensor,
    maps: Tensor,
    target: Targets = None,
    *,
    removed: Sequence[float] = REMOVED,
    seed: int = 0,
    batch_size: int = 32,
) -> Road:
    """Remove and debias (ROAD): removed pixels are filled in from their neighbors, with a little noise.

    A mean color in place of pixels would show the network the outline of what was removed, and put it
    out-of-distribution; the noisy linear imputation does so less.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        maps: N x h x w.
        target: Class index, for all images or one each. Default: the predicted class of each image.
        removed: Shares of the pixels, each above 0 and below 1.
        seed: Seed of the noise.
        batch_size: Images per forward pass.

    References:
        Y. Rong et al.: A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022, section 4.2
        and algorithm 1.
    """
    batch = as_batch(classifier, images)
    targets = as_targets(classifier, target, logits_of(classifier, batch, batch_size))
    generator, curves = torch.Generator().manual_seed(seed), []
    for image, values, wanted in zip(batch, to_pixels(maps, classifier.size), targets.tolist(), strict=True):
        rank = values.flatten().argsort(descending=True, stable=True).argsort().view(classifier.size)
        cuts = [round(share * rank.numel()) for share in removed]
        gone = [rank < cut for cut in cuts] + [rank >= rank.numel() - cut for cut in cuts]
        shown = torch.stack([impute(image, mask, generator) for mask in gone])
        curves.append(logits_of(classifier, shown, batch_size).softmax(1)[:, wanted])
    both = torch.stack(curves).view(len(batch), 2, len(removed))
    return Road(both[:, 0], both[:, 1])


def impute(image: Tensor, removed: Tensor, generator: torch.Generator, noise: float = _NOISE) -> Tensor:
    """An image whose removed pixels are each the weighted mean of their neighbors, plus Gaussian noise.

    Neighbors that are removed too are unknowns of the same system of linear equations.

    Args:
        image: C x H x W, in [0, 1].
        removed: H x W booleans; at least one pixel stays.
        generator: Random generator of the noise.
        noise: Standard deviation of the noise.
    """
    gone = removed.flatten().cpu().numpy()
    if not gone.any():
        return image
    neighbors = _adjacency(*removed.shape)
    values = image.flatten(1).cpu().double().numpy().T
    own = neighbors[gone]
    system = sparse.diags(np.asarray(own.sum(1)).ravel()) - own[:, gone]
    filled = splu(system.tocsc()).solve(own[:, ~gone] @ values[~gone])
    result = image.flatten(1).clone()
    spread = noise * torch.randn(filled.T.shape, generator=generator)
    result[:, removed.flatten()] = (torch.from_numpy(filled.T).float() + spread).to(image).clamp(0, 1)
    return result.view_as(image)


@lru_cache(maxsize=4)
def _adjacency(height: int, width: int) -> sparse.csr_array:
    """The weight of every pixel in the mean of every other, HW x HW."""
    index: NDArray[np.int64] = np.arange(height * width).reshape(height, width)
    rows, columns, weights = [], [], []
    for (down, right), weight in _NEIGHBORS.items():
        left = slice(max(0, -right), width - max(0, right))
        first = index[: height - down, left].ravel()
        second = first + down * width + right
        rows += [first, second]
        columns += [second, first]
        weights += [np.full(2 * len(first), weight)]
    where = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.concatenate(weights), where), shape=(index.size, index.size)).tocsr()
