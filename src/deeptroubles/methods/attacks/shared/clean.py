"""The images that an attack starts from."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.targets import Images, as_batch


def clean_batch(classifier: Classifier, images: Images, *, eight_bit: bool) -> Tensor:
    """The images as a batch; with `eight_bit` as a file holds them, so that all an attack does is on the same grid.

    Raises:
        UsageError: The images do not fit.
    """
    batch = as_batch(classifier, images)
    return as_8_bit(batch) if eight_bit else batch
