"""The subject of an audit: a classifier together with the images it is audited on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.classifier import Classifier, evaluating, unit_pixels
from deeptroubles.errors import ImagesError, UnreadableImageError
from deeptroubles.images import ImageSet
from deeptroubles.preparing import Prepared, prepare_images
from deeptroubles.progress import shown
from deeptroubles.run.pixels import PixelFile

PIXELS_AT_ONCE = 16 * 224**2
"""Pixels of a batch on a CPU: larger batches are no faster and take more memory (benchmarks/README.md)."""
PIXELS_WITH_GRADIENT = 4 * 224**2
"""Pixels of a batch on a CPU where the activations of all layers are kept for the backward pass."""


@dataclass(frozen=True)
class Subject:
    """A classifier and its images, with the class of each image as an index of its outputs (-1: unlabelled).

    `found_masks` (N x H x W, as the classifier takes images) are objects that were found; they take the place of masks.
    `kept` is the file of prepared pixels, so that each image is decoded once; without it, it is decoded at every use.
    """

    classifier: Classifier
    images: ImageSet
    targets: NDArray[np.int64]
    found_masks: NDArray[np.bool_] | None = None
    kept: PixelFile | None = None

    @classmethod
    def unlabelled(cls, classifier: Classifier, images: ImageSet) -> Subject:
        """A classifier and images of which no class is known."""
        return cls(classifier, images, np.full(len(images), -1, dtype=np.int64))

    def subset(self, rows: Sequence[int] | NDArray[np.int64]) -> Subject:
        """Some of the images, in the given order."""
        chosen = np.asarray(rows, dtype=np.int64)
        found = None if self.found_masks is None else self.found_masks[chosen]
        kept = self.kept.subset(chosen) if self.kept else None
        return Subject(self.classifier, self.images.subset(chosen), self.targets[chosen], found, kept)

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """The images as the classifier takes them: len(indices) x C x H x W in [0, 1], on its device, in its type.

        Raises:
            UnreadableImageError: An image cannot be decoded.
        """
        pixels, reasons = self._eight_bit(indices)
        for i, reason in zip(indices, reasons, strict=True):
            if reason:
                raise UnreadableImageError(str(self.images.table["path"].iloc[i]), reason)
        return unit_pixels(pixels).to(self.classifier.mean)

    def readable_pixels(self, rows: Sequence[int]) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
        """The images that can be read, as `pixels` gives them; their rows; and the rows of the others."""
        pixels, reasons = self._eight_bit(rows)
        every, readable = np.array(rows, dtype=np.int64), np.array([not reason for reason in reasons], dtype=bool)
        return unit_pixels(pixels[readable]).to(self.classifier.mean), every[readable], every[~readable]

    def decode(self, indices: Sequence[int] | NDArray[np.int64]) -> Prepared:
        """Decode images and prepare them, and keep their pixels."""
        found = prepare_images(self.classifier, self.images, indices)
        if self.kept:
            readable = np.array([not reason for reason in found.reasons], dtype=bool)
            self.kept.write(np.asarray(indices, dtype=np.int64)[readable], found.pixels[readable])
        return found

    def _eight_bit(self, indices: Sequence[int]) -> tuple[NDArray[np.uint8], list[str]]:
        """The prepared images (n x H x W x C), and why each cannot be read ('' where it can)."""
        if self.kept is None:
            found = self.decode(indices)
            return found.pixels, found.reasons
        pixels, held = self.kept.read(indices)
        reasons = [""] * len(held)
        missing = np.flatnonzero(~held)
        if len(missing):
            found = self.decode(np.asarray(indices, dtype=np.int64)[missing])
            pixels[missing] = found.pixels
            for place, reason in zip(missing, found.reasons, strict=True):
                reasons[place] = reason
        return pixels, reasons

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


def returned_by(classifier: Classifier, pixels: Tensor, batch_size: int = 32) -> Tensor:
    """What the classifier's module returns (N x M) for pixels (N x C x H x W), before it is read as logits."""
    return _in_batches(classifier, classifier.returned, pixels, batch_size)


def logits_of(classifier: Classifier, pixels: Tensor, batch_size: int = 32) -> Tensor:
    """Logits (N x K) of pixels (N x C x H x W), in batches, in eval mode, without gradients."""

    def call(batch: Tensor) -> Tensor:
        logits: Tensor = classifier(batch)
        shown(batch, logits)
        return logits

    return _in_batches(classifier, call, pixels, batch_size)


def _in_batches(classifier: Classifier, call: Callable[[Tensor], Tensor], pixels: Tensor, batch_size: int) -> Tensor:
    size, start, found = images_at_once(classifier, batch_size), 0, list[Tensor]()
    with torch.inference_mode(), evaluating(classifier):
        while start < len(pixels) or not found:
            try:
                found.append(_in_fast_layout(call, pixels[start : start + size]))
                start += size
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = fewer(size)
    return torch.cat(found)


def fewer(images: int) -> int:
    """Half as many images at once, after a GPU's memory ran out; what PyTorch holds of it unused is given back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return images // 2


def images_at_once(classifier: Classifier, batch_size: int, most: int = PIXELS_AT_ONCE) -> int:
    """The size of a batch: at most `batch_size` images, and on a CPU at most `most` pixels (one image at least)."""
    if classifier.device.type != "cpu":
        return batch_size
    return min(batch_size, max(1, most // math.prod(classifier.size)))


def _in_fast_layout(call: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """A call with channels last in memory on a CPU, where convolutions are fastest that way.

    A module that needs the usual layout (`view`, for instance) is called again with the batch as it is.
    """
    if batch.device.type == "cpu":
        with suppress(RuntimeError):
            return call(batch.to(memory_format=torch.channels_last))
    return call(batch)
