"""What an attack found, scored on the images that files would hold."""

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
        images: N x C x H x W in [0, 1]; the clean image where the attack failed.
        success: Whether the answer to `images` is what the attack was after, N, computed anew at the end. An image
            that was answered so from the start succeeds with a distance of 0.
        distance: Norm of the perturbation (for one-pixel attacks: pixels changed), N; 0 where it failed.
        queries: How often the image was shown to the classifier, N; forward and backward count as one.
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
    """Show what was found once more, and take back what does not reach the goal."""
    success = goal.reached(logits_of(classifier, attacked, batch_size))
    images = torch.where(success[:, None, None, None], attacked, clean)
    return AttackResult(images, success, lp_norm(images - clean, norm), queries + 1)
