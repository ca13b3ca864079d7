"""Eigen-CAM: the first principal direction of a layer's activations (Muhammad & Yeasin, IJCNN 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import layer_with_positions
from deeptroubles.methods.targets import Images, Targets, as_batch, as_targets
from deeptroubles.network import open_network


def eigen_cam(classifier: Classifier, images: Images, target: Targets = None, *, layer: str | None = None) -> Tensor:
    """Map of the layer's activations along their first principal direction. It does not depend on the class.

    The target is accepted (and checked) as in every method, but the map is the same for all targets. At the layer's own
    resolution. The sign of a principal direction is arbitrary; it is chosen so that the map and the mean of the
    channels have a positive scalar product: positive is where the layer is active, and after a ReLU layer no
    value is negative. As in the paper, the activations are not centered.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Not used.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w, in units of the layer's activations.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        UsageError: The target is not a class.

    References:
        M. B. Muhammad, M. Yeasin: Eigen-CAM: Class Activation Map using Principal Components, IJCNN 2020, equation 4.
    """
    batch = as_batch(classifier, images)
    network = open_network(classifier)
    chosen, grid = layer_with_positions(network, layer)
    recorded = network.record(batch, [chosen.name])
    as_targets(classifier, target, recorded.logits)
    activations = grid.maps(recorded.activations[chosen.name])
    positions = activations.flatten(2).transpose(1, 2)
    left, strength, _ = torch.linalg.svd(positions, full_matrices=False)
    first = left[:, :, 0] * strength[:, :1]
    along = (first * positions.mean(2)).sum(1, keepdim=True)
    return torch.where(along < 0, -first, first).view(len(batch), *activations.shape[2:])
