"""The feature maps of some images, and the filters of the first convolution, as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.targets import as_batch
from deeptroubles.network import open_network


def feature_maps(classifier: Classifier, images: Tensor, layer: str, units: Sequence[int] | None = None) -> Tensor:
    """What units of a layer answer at every position, raw.

    Args:
        classifier: The classifier.
        images: N x C x H x W, or one image, in [0, 1].
        layer: Name of a layer with positions.
        units: Which units. Default: all.

    Returns:
        N x U x h x w, on the classifier's device.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        UsageError: There is no such unit, or the images are not what the classifier takes.
    """
    network = open_network(classifier)
    found = network.layer(layer)
    if len(found.shape) != 3:
        shape = " x ".join(map(str, found.shape))
        raise ModelError(f"The layer {layer!r} gives {shape} per image, no maps; choose one with positions.")
    chosen = range(found.units) if units is None else units
    wrong = [unit for unit in chosen if not 0 <= unit < found.units]
    if wrong:
        raise UsageError(f"The layer {layer!r} has no unit {wrong[0]}; its units are 0 to {found.units - 1}.")
    with torch.no_grad():
        maps = network.activations(as_batch(classifier, images), [layer])[layer]
    return maps[:, list(chosen)]


def first_filters(classifier: Classifier) -> Tensor:
    """The weights of the first convolution in the order of the module's own list, U x C x k x k, a copy.

    Raises:
        ModelError: The classifier has no two-dimensional convolution.
    """
    for module in classifier.module.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().clone()
    raise ModelError(f"{classifier.name} has no convolution; its first weights cannot be drawn as filters.")
