"""The closest decision boundary of the linearized network, as in DeepFool."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.network import PIXELS, Network

BEYOND = 1e-5
"""How far (L2) a step goes beyond the boundary; closer, the prediction depends on the rest of the batch."""


def nearest_boundary(
    network: Network, here: Tensor, classes: Tensor, logits: Tensor, count: int, beyond: float = BEYOND
) -> tuple[Tensor, Tensor]:
    """The closest point (L2) where another class reaches the logit of the image's class, with the network linearized.

    Args:
        network: The network.
        here: N x C x H x W.
        classes: The class of each image, N.
        logits: N x K.
        count: Number of other classes that are considered, the most likely ones; each costs one forward and backward
            pass.
        beyond: How far (L2) the step goes beyond the boundary.

    Returns:
        The step to the boundary (N x C x H x W) and the class behind it (N).
    """
    others = logits.scatter(1, classes[:, None], -torch.inf).topk(count, dim=1).indices
    best, step, behind = torch.full((len(here),), torch.inf, device=here.device), torch.zeros_like(here), others[:, 0]
    for column in others.T:
        _, gradients = network.gradients(here, [PIXELS], _lead(classes, column))
        gradient = gradients[PIXELS]
        gap = (logits.gather(1, classes[:, None]) - logits.gather(1, column[:, None]))[:, 0]
        norm = gradient.flatten(1).square().sum(1).clamp(min=1e-30)
        distance = gap.clamp(min=0) / norm.sqrt()
        nearer = distance < best
        scale = ((distance + beyond) / norm.sqrt()).view(-1, 1, 1, 1)
        step = torch.where(nearer.view(-1, 1, 1, 1), scale * gradient, step)
        best, behind = torch.where(nearer, distance, best), torch.where(nearer, column, behind)
    return step, behind


def _lead(classes: Tensor, column: Tensor) -> Callable[[Tensor], Tensor]:
    def score(logits: Tensor) -> Tensor:
        # Copied: autograd cannot save tensors that were made in inference mode.
        ahead, behind = (logits.gather(1, each[:, None].clone()) for each in (column, classes))
        return (ahead - behind)[:, 0]

    return score
