"""Shared by perturbation methods: the score of each image, the baseline color, and blending into it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.targets import Targets, as_targets, target_score


def score_of_each(
    classifier: Classifier, clean: Tensor, target: Targets, against: Targets
) -> list[Callable[[Tensor], Tensor]]:
    """One score function per image, for any number of versions of it; the class is predicted on the clean image."""
    targets = as_targets(classifier, target, clean).tolist()
    others = [None] * len(targets) if against is None else as_targets(classifier, against, clean).tolist()
    return [target_score(classifier, own, other) for own, other in zip(targets, others, strict=True)]


def baseline_color(classifier: Classifier, fill: float | Tensor | None, like: Tensor) -> Tensor:
    """The pixels of the baseline: a gray level, or anything that broadcasts to an image (C x H x W).

    Default: the classifier's mean color, which its normalization maps to 0.
    """
    chosen = classifier.mean[0] if fill is None else torch.as_tensor(fill)
    return chosen.to(device=like.device, dtype=like.dtype)


def blend(image: Tensor, masks: Tensor, cover: Tensor) -> Tensor:
    """Copies of an image (C x H x W), one per mask (M x H x W): the image where it is 1, the cover where it is 0."""
    return cover + (image - cover) * masks[:, None]
