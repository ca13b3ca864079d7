"""How predictions follow a parameter of an edit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.edits.apply_edits import Surroundings, apply_edits
from deeptroubles.methods.edits.kinds import Edit, varied
from deeptroubles.subject import logits_of


def versions(edits: Sequence[Edit], place: int, parameter: str, values: Iterable[float]) -> list[tuple[Edit, ...]]:
    """Lists of edits that differ in one parameter of one edit.

    Args:
        edits: The edits.
        place: The index of the edit that varies.
        parameter: Its parameter.
        values: The values of the parameter.

    Raises:
        UsageError: There is no such edit or parameter, or a value is out of its range.
    """
    if not 0 <= place < len(edits):
        raise UsageError(f"There are {len(edits)} edits, so none has the index {place}.")
    return [(*edits[:place], varied(edits[place], parameter, value), *edits[place + 1 :]) for value in values]


def response_curve(
    classifier: Classifier,
    image: Tensor,
    lists: Sequence[Sequence[Edit]],
    classes: Sequence[int],
    *,
    around: Surroundings | None = None,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """The probabilities of some classes after each of several lists of edits.

    Args:
        classifier: The classifier.
        image: C x H x W in [0, 1].
        lists: The lists of edits, such as `versions` gives. S.
        classes: Indices of the classes. K.
        around: What edits with other images need.
        batch_size: How many images are computed at once.

    Returns:
        S x K.

    Raises:
        UsageError: An edit is not possible for this image.
    """
    edited = torch.stack([apply_edits(image, edits, around) for edits in lists])
    found = logits_of(classifier, edited.to(classifier.mean), batch_size).softmax(1)[:, list(classes)]
    return found.double().cpu().numpy()
