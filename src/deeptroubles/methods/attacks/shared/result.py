"""The result of an attack, evaluated on the images as they are returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import html_pictures
from deeptroubles.methods.attacks.shared.balls import Norm, lp_norm
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.pictures import picture
from deeptroubles.subject import logits_of


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        reached = self.distance[self.success]
        median = f", median distance {float(reached.median()):.3g} where it did" if len(reached) else ""
        return (
            f"{type(self).__name__}: reached the goal on {len(reached)} of {len(self.success)} images{median}, "
            f"{float(self.queries.float().mean()):.0f} queries per image"
        )

    def _repr_html_(self) -> str:
        shown = []
        for i, image in enumerate(self.images[:_SHOWN]):
            did = f"distance {float(self.distance[i]):.3g}" if self.success[i] else "not reached: the clean image"
            text = f"{i}: {did}"
            shown.append((picture(image.detach().cpu().numpy(), text).src, text, text))
        more = f"; the first {_SHOWN} are shown" if len(self.images) > _SHOWN else ""
        return html_pictures(f"{self!r}{more}", shown)


_SHOWN = 12
"""How many images a notebook shows."""


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
