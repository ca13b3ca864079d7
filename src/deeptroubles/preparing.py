"""From stored images to the pixels that a classifier takes, on all cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UnreadableImageError
from deeptroubles.images import ImageSet
from deeptroubles.images.conversions import Conversion
from deeptroubles.images.patience import do_each, too_late


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images as a classifier takes them, and what was learned when they were decoded.

    Attributes:
        pixels: n x H x W x C, 8 bits; 0 where an image cannot be read.
        reasons: Why each cannot be read; '' where it can. n.
        done: What was done to each. n.
        scales: By which factor each was scaled. n.
    """

    pixels: NDArray[np.uint8]
    reasons: list[str]
    done: list[Conversion]
    scales: NDArray[np.float64]


_One = tuple[NDArray[np.uint8] | None, str, Conversion, float]


def prepare_images(
    classifier: Classifier, images: ImageSet, rows: Sequence[int] | NDArray[np.int64], *, threads: int | None = None
) -> Prepared:
    """Decode images and prepare them for a classifier.

    Every image of a set is decoded to 8 bits per channel, also one that is stored with more (its values are scaled to 8
    bits first), and it is scaled in 8 bits. So 8 bits hold exactly what `Classifier.prepare` gives. One exception:
    large JPEGs are decoded at a reduced size, from which they are scaled (`deeptroubles.images.decoding.ENOUGH`).

    Threads do it, since Pillow works without the interpreter's lock; an image that takes too long cannot be read.

    Args:
        classifier: What they are prepared for.
        images: The images.
        rows: Which of them. n.
        threads: How many threads. Default: as many as PyTorch uses.
    """
    wanted = np.asarray(rows, dtype=np.int64)
    found = do_each(
        lambda row: _prepare(classifier, images, row),
        wanted.tolist(),
        lambda _: (None, too_late(), Conversion(), 1.0),
        threads=threads or torch.get_num_threads(),
    )
    pixels = np.zeros((len(wanted), *classifier.size, classifier.channels), dtype=np.uint8)
    for place, (fitted, *_) in enumerate(found):
        if fitted is not None:
            pixels[place] = fitted
    return Prepared(
        pixels,
        [reason for _, reason, _, _ in found],
        [done for _, _, done, _ in found],
        np.array([scale for _, _, _, scale in found], dtype=np.float64),
    )


def _prepare(classifier: Classifier, images: ImageSet, row: int) -> _One:
    """The pixels of one image (None where it cannot be read), why not, what was done to it, and its scale."""
    try:
        picture, done, divisor = images.reduced(row, classifier.scaling)
    except UnreadableImageError as error:
        return None, error.reason, Conversion(), 1.0
    return classifier.fitted(picture), "", done, classifier.scale(picture) / divisor
