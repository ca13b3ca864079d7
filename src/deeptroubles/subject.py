"""The subject of an audit: a classifier together with the images it is audited on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images import ImageSet


@dataclass(frozen=True)
class Subject:
    """A classifier and its images, with the class of each image as an index of its outputs (-1: unlabelled).

    `found_masks` (N x H x W, as the classifier takes images) are objects that were found; they take the place of masks.
    """

    classifier: Classifier
    images: ImageSet
    targets: NDArray[np.int64]
    found_masks: NDArray[np.bool_] | None = None

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """The images as the classifier takes them: len(indices) x C x H x W in [0, 1], on its device, in its type."""
        prepared = [self.classifier.prepare(self.images[i]) for i in indices]
        return torch.stack(prepared).to(self.classifier.mean)

    def masks(self, indices: Sequence[int], *, cue: bool = False) -> Tensor:
        """Where the objects (or marked cues) are in the images as the classifier takes them: N x H x W, bool.

        Raises:
            UnreadableImageError: A mask cannot be decoded, or is not of its image's size.
            ImagesError: An image has no mask.
        """
        if self.found_masks is not None and not cue:
            return torch.from_numpy(self.found_masks[np.asarray(indices, dtype=np.int64)]).to(self.classifier.device)
        prepared = []
        for i in indices:
            mask = self.images.mask(i, cue=cue)
            if mask is None:
                raise ImagesError(f"There is no mask of {self.images.table['path'].iloc[i]}.")
            prepared.append(self.classifier.prepare_mask(mask))
        return torch.stack(prepared).to(self.classifier.device)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides the predictions."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.classifier.fingerprint(), self.images.fingerprint(), self.targets.tobytes().hex()):
            digest.update(part.encode())
        if self.found_masks is not None:
            digest.update(np.packbits(self.found_masks).tobytes())
        return digest.hexdigest()


def readable_pixels(
    classifier: Classifier, images: ImageSet, rows: Sequence[int]
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
    """The images that can be read, as the classifier takes them; their rows; and the rows of the others."""
    pixels, every, readable = list[Tensor](), np.array(rows, dtype=np.int64), np.zeros(len(rows), dtype=bool)
    for i, row in enumerate(every):
        with suppress(UnreadableImageError):
            pixels.append(classifier.prepare(images[row]))
            readable[i] = True
    stacked = torch.stack(pixels).to(classifier.mean) if pixels else torch.empty(0)
    return stacked, every[readable], every[~readable]


def returned_by(classifier: Classifier, pixels: Tensor, batch_size: int = 32) -> Tensor:
    """What the classifier's module returns (N x M) for pixels (N x C x H x W), before it is read as logits."""
    return _in_batches(classifier, classifier.returned, pixels, batch_size)


def logits_of(classifier: Classifier, pixels: Tensor, batch_size: int = 32) -> Tensor:
    """Logits (N x K) of pixels (N x C x H x W), in batches, in eval mode, without gradients."""
    return _in_batches(classifier, classifier, pixels, batch_size)


def _in_batches(classifier: Classifier, call: Callable[[Tensor], Tensor], pixels: Tensor, batch_size: int) -> Tensor:
    with torch.inference_mode(), evaluating(classifier):
        return torch.cat([_in_fast_layout(call, batch) for batch in torch.split(pixels, batch_size)])


def _in_fast_layout(call: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """A call with channels last in memory on a CPU, where convolutions are fastest that way.

    A module that needs the usual layout (`view`, for instance) is called again with the batch as it is.
    """
    if batch.device.type == "cpu":
        with suppress(RuntimeError):
            return call(batch.to(memory_format=torch.channels_last))
    return call(batch)
