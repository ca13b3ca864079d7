"""Target classes and scores of methods, and the form of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deeptroubles.classifier import Classifier, expect_classifier
from deeptroubles.errors import UsageError
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import find_class

Targets = int | str | Sequence[int | str] | Tensor | None
"""Classes as indices or names, one for all images or one each."""
Picture = Image.Image | NDArray[Any] | Path | str
"""An image that is not prepared: of Pillow, an array (H x W or H x W x 3, 8 bits or floats in [0, 1]), or a file."""

Images = Tensor | Picture | Sequence[Tensor | Picture]
"""What methods take as images: prepared ones (C x H x W or N x C x H x W, in [0, 1]) or pictures."""


def as_batch(classifier: Classifier, images: Images) -> Tensor:
    """Accept one image (C x H x W) or a batch (N x C x H x W) on any device, of any number type and memory layout.

    Pictures of Pillow, arrays of pictures and paths of files, one or several, are prepared first. An array of floats
    that has the shape of a tensor is taken as one.

    Returns:
        A contiguous batch on the classifier's device, of its number type.

    Raises:
        UsageError: There is no image, the shape or the range of the pixels is not what the classifier takes, or
            `classifier` is no `Classifier`.
        ImagesError: A picture cannot be read.
    """
    expect_classifier(classifier)
    if not isinstance(images, Tensor):
        images = _prepared(classifier, images)
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


def _prepared(classifier: Classifier, images: Picture | Sequence[Tensor | Picture]) -> Tensor:
    """Pictures as the classifier takes them, N x C x H x W; tensors and arrays of its shape as they are."""
    expected = (classifier.channels, *classifier.size)
    if isinstance(images, np.ndarray):
        if np.issubdtype(images.dtype, np.floating) and images.shape[-3:] == expected:
            return torch.from_numpy(images).float()
        one = images.ndim == 2 or (images.ndim == 3 and images.shape[2] in {1, 3})
        images = [images] if one else list(images)
    several: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
    if not several:
        raise UsageError("There are no images; give at least one.")
    return torch.stack(
        [
            image if isinstance(image, Tensor) else classifier.prepare(ImageSet.from_arrays([image])[0])
            for image in several
        ]
    )


def as_targets(classifier: Classifier, targets: Targets, logits: Tensor) -> Tensor:
    """One class index per image, of indices or names; by default the predicted class.

    Raises:
        UsageError: A target is not a class, or their number does not match the images.
    """
    if targets is None:
        return logits.argmax(1)
    if isinstance(targets, str):
        targets = find_class(classifier, targets)
    elif isinstance(targets, Sequence):
        targets = [find_class(classifier, each) if isinstance(each, str) else each for each in targets]
    indices = torch.as_tensor(targets, device=logits.device).reshape(-1)
    indices = indices.expand(len(logits)) if len(indices) == 1 else indices
    if len(indices) != len(logits):
        raise UsageError(f"There are {len(indices)} targets for {len(logits)} images; give one for all, or one each.")
    if ((indices < 0) | (indices >= classifier.classes)).any():
        raise UsageError(f"Targets must be class indices from 0 to {classifier.classes - 1}.")
    return indices.long().clone()  # a copy: autograd cannot save a tensor that was made in inference mode


def targets_of(targets: Targets, rows: slice) -> Targets:
    """The targets of some images: their rows of a list, or the target of all."""
    if targets is None or isinstance(targets, int | str):
        return targets
    several = targets.reshape(-1) if isinstance(targets, Tensor) else targets
    return several if len(several) == 1 else several[rows]


def target_score(classifier: Classifier, target: Targets, against: Targets = None) -> Callable[[Tensor], Tensor]:
    """The score to explain: the target's logit, or its difference to the logit of another class.

    Args:
        classifier: The classifier.
        target: Index or name of a class, for all images or one each. Default: the predicted class of each image.
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
