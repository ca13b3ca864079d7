"""How the effect of a patch changes with its angle and its size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.transforms.shared.physical import place, view_at
from deeptroubles.subject import logits_of


def sticker_curve(
    classifier: Classifier,
    images: Tensor,
    patch: Tensor,
    mask: Tensor,
    target: int,
    *,
    degrees: Sequence[float] = (0.0,),
    scales: Sequence[float] = (1.0,),
) -> list[float]:
    """The mean probability of the target with the patch in the center, for each angle and each size.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        patch: C x s x s, in [0, 1].
        mask: s x s, 1 where the patch is and 0 elsewhere.
        target: Class index.
        degrees: Angles, in degrees.
        scales: Sizes, as multiples of the patch's own.

    Returns:
        One probability for each pair of an angle and a size, sizes innermost.
    """
    size = classifier.size
    content, shape = (centered(part, size) for part in (patch.to(images), mask.to(images)))
    found = []
    for angle in degrees:
        for scale in scales:
            views = view_at(angle, scale, len(images), classifier.channels)
            seen = place(content, shape, images, views)
            found.append(float(logits_of(classifier, seen).softmax(1)[:, target].mean()))
    return found


def centered(content: Tensor, size: tuple[int, int]) -> Tensor:
    """Content (... x s x s) in the center of a black image (... x H x W)."""
    side = content.shape[-1]
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return torch.nn.functional.pad(content, (left, size[1] - side - left, top, size[0] - side - top))
