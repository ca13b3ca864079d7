"""Target classes and scores of methods, and the form of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError

Targets = int | Sequence[int] | Tensor | None


def as_batch(classifier: Classifier, images: Tensor) -> Tensor:
    """Accept one image (C x H x W) or a batch (N x C x H x W) on any device, of any number type and memory layout.

    Returns:
        A contiguous batch on the classifier's device, of its number type.

    Raises:
        UsageError: There is no image, or the shape or the range of the pixels is not what the classifier takes.
    """
    batch = images[None] if images.ndim == 3 else images
    expected = (classifier.channels, *classifier.size)
    if batch.ndim != 4 or tuple(batch.shape[1:]) != expected:
        shape = " x ".join(map(str, images.shape))
        raise UsageError(
            f"The image has the shape {shape}, but {classifier.name} takes {' x '.join(map(str, expected))}; "
            "use `classifier.prepare(picture)`."
        )
    if not len(batch):
        raise UsageError("There are no images; give at least one.")
    if not (batch.min() >= 0 and batch.max() <= 1):
        raise UsageError("Pixels must be in [0, 1]; the classifier normalizes them itself.")
    return batch.to(classifier.mean).contiguous()


def as_targets(classifier: Classifier, targets: Targets, logits: Tensor) -> Tensor:
    """One class index per image; by default the predicted class.

    Raises:
        UsageError: A target is not a class, or their number does not match the images.
    """
    if targets is None:
        return logits.argmax(1)
    indices = torch.as_tensor(targets, device=logits.device).reshape(-1)
    indices = indices.expand(len(logits)) if len(indices) == 1 else indices
    if len(indices) != len(logits):
        raise UsageError(f"There are {len(indices)} targets for {len(logits)} images; give one for all, or one each.")
    if ((indices < 0) | (indices >= classifier.classes)).any():
        raise UsageError(f"Targets must be class indices from 0 to {classifier.classes - 1}.")
    return indices.long()


def target_score(classifier: Classifier, target: Targets, against: Targets = None) -> Callable[[Tensor], Tensor]:
    """The score to explain: the target's logit, or its difference to the logit of another class.

    Args:
        classifier: The classifier.
        target: Class index, for all images or one each. Default: the predicted class of each image.
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
