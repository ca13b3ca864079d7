"""Which class a map is asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError

Targets = int | Sequence[int] | Tensor | None


def as_batch(classifier: Classifier, images: Tensor) -> Tensor:
    """Accept one image (C x H x W) or a batch (N x C x H x W), on any device; return a batch on the classifier's.

    Raises:
        UsageError: The shape or the range of the pixels is not what the classifier takes.
    """
    batch = images[None] if images.ndim == 3 else images
    expected = (classifier.channels, *classifier.size)
    if batch.ndim != 4 or tuple(batch.shape[1:]) != expected:
        shape = " x ".join(map(str, images.shape))
        raise UsageError(
            f"The image has the shape {shape}, but {classifier.name} takes {' x '.join(map(str, expected))}; "
            "`classifier.prepare(picture)` makes it so."
        )
    if batch.numel() and not (batch.min() >= 0 and batch.max() <= 1):
        raise UsageError("Pixels must be in [0, 1]; normalisation happens inside the classifier.")
    return batch.to(classifier.device)


def as_targets(classifier: Classifier, targets: Targets, logits: Tensor) -> Tensor:
    """One class index per image: the given ones, or the most likely class where none is given.

    Raises:
        UsageError: A target is not a class, or there is not one per image.
    """
    if targets is None:
        return logits.argmax(1)
    indices = torch.as_tensor(targets, device=logits.device).reshape(-1)
    indices = indices.expand(len(logits)) if len(indices) == 1 else indices
    if len(indices) != len(logits):
        raise UsageError(f"{len(indices)} targets were given for {len(logits)} images; give one for all, or one each.")
    if ((indices < 0) | (indices >= classifier.classes)).any():
        raise UsageError(f"Targets must be class indices from 0 to {classifier.classes - 1}.")
    return indices.long()


def target_score(classifier: Classifier, target: Targets, against: Targets = None) -> Callable[[Tensor], Tensor]:
    """The score that is explained: the target's logit, or its lead over another class ("why this and not that").

    Args:
        classifier: The classifier.
        target: Class index, for all images or one each. Default: the most likely class of each image.
        against: The other class, whose logit is subtracted. Default: none.

    Returns:
        A function from logits (N x K) to scores (N).
    """

    def score(logits: Tensor) -> Tensor:
        own = logits.gather(1, as_targets(classifier, target, logits)[:, None])[:, 0]
        if against is None:
            return own
        return own - logits.gather(1, as_targets(classifier, against, logits)[:, None])[:, 0]

    return score
