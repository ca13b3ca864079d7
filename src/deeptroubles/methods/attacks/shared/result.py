"""The result of an attack, evaluated on the images as they are returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import Norm, lp_norm
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.subject import logits_of


@dataclass(frozen=True)
class AttackResult:
    """What an attack found for each image.

    Attributes:
        images: N x C x H x W in [0, 1]; the clean image (rounded, if the attack works on 8 bits) where the attack
            failed.
        success: Whether the prediction on `images` reaches the goal, N, computed again at the end. An image that
            reaches the goal unchanged succeeds with a distance of 0.
        distance: Norm of the perturbation (for one-pixel attacks: pixels changed), N; 0 where it failed.
        queries: Number of times the image was shown to the classifier, N; forward and backward count as one.
    """

    images: Tensor
    success: Tensor
    distance: Tensor
    queries: Tensor


def scored(
    classifier: Classifier,
    clean: Tensor,
    attacked: Tensor,
    goal: Goal,
    norm: Norm | Literal["l0"],
    queries: Tensor,
    batch_size: int,
) -> AttackResult:
    """Evaluate the attacked images again, and return the clean image where the goal is not reached."""
    success = goal.reached(logits_of(classifier, attacked, batch_size))
    images = torch.where(success[:, None, None, None], attacked, clean)
    return AttackResult(images, success, lp_norm(images - clean, norm), queries + 1)
