"""Feature maps of images, and the filters of the first convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.methods.targets import as_batch
from deeptroubles.network import open_network


def feature_maps(classifier: Classifier, images: Tensor, layer: str, units: Sequence[int] | None = None) -> Tensor:
    """The activations of units of a layer at every position.

    Args:
        classifier: The classifier.
        images: N x C x H x W, or one image, in [0, 1].
        layer: Name of a layer with positions.
        units: The units. Default: all.

    Returns:
        N x U x h x w, on the classifier's device.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        UsageError: There is no such unit, or the images do not fit the classifier.

    References:
        J. Yosinski et al.: Understanding neural networks through deep visualization, ICML deep learning workshop 2015.
    """
    network = open_network(classifier)
    found = network.layer(layer)
    if len(found.shape) != 3:
        shape = " x ".join(map(str, found.shape))
        raise ModelError(f"The layer {layer!r} has the output {shape}, without positions; choose one with positions.")
    chosen = range(found.units) if units is None else units
    wrong = [unit for unit in chosen if not 0 <= unit < found.units]
    if wrong:
        raise UsageError(f"The layer {layer!r} has no unit {wrong[0]}; its units are 0 to {found.units - 1}.")
    with torch.no_grad():
        maps = network.activations(as_batch(classifier, images), [layer])[layer]
    return maps[:, list(chosen)]


def first_filters(classifier: Classifier) -> Tensor:
    """A copy of the weights of the first convolution in the order of the module's list, U x C x k x k.

    Raises:
        ModelError: The classifier has no two-dimensional convolution.
    """
    for module in classifier.module.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().clone()
    raise ModelError(f"{classifier.name} has no convolution, so it has no filters to draw.")
