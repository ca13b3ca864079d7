"""Grad-CAM++: channels weighted by their positive gradients, also where they are small (WACV 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients
from deeptroubles.methods.targets import Images, Targets


def grad_cam_plus_plus(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Map of the layer's channels, each weighted by sum(alpha * relu(gradient)) over positions.

    With the paper's score exp(S), where S is the target's logit, and a network that is piecewise linear after the
    layer, alpha = g^2 / (2 g^2 + sum(A) g^3) at every position, where g is the gradient of S and sum(A) the sum of the
    channel over positions. The ReLU on the gradient is part of the method, so after a ReLU layer the map is never
    negative; the final ReLU is not applied. The factor exp(S), constant over the map, is left out because it overflows.

    The paper assumes activations of a ReLU. Where a channel's sum is negative (other activations) the
    denominator can vanish or change its sign; alpha is 0 there.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w; values are comparable within a map only.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        A. Chattopadhay et al.: Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional
        Networks, WACV 2018, equations 5 and 19 (without the last ReLU).
    """
    activations, gradients = activations_and_gradients(classifier, images, target, against, layer)
    # alpha * g with one g cancelled, which is exact, and finite where squares and cubes of small gradients are not
    denominator = 2 + activations.sum((2, 3), keepdim=True) * gradients
    alpha = torch.where(denominator > 0, 1 / denominator, 0)
    weights = (alpha * gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1)
