"""Grad-CAM: the positions of a layer that are evidence for a class (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients
from deeptroubles.methods.targets import Images, Targets


def grad_cam(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Map of the layer's channels, each weighted by the mean gradient of the target's logit with respect to it.

    Raw and signed, at the layer's own resolution: the paper's final ReLU and the scaling to the image are not applied.
    The backward pass stops at the layer. Tokens are folded to the grid of their patches; class tokens are left out.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w, in logits per position: on a network that ends in global average pooling and one linear layer its
        sum over positions is the logit without the bias.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        R. R. Selvaraju et al.: Grad-CAM, ICCV 2017, equations 1 and 2 (without the ReLU).
    """
    activations, gradients = activations_and_gradients(classifier, images, target, against, layer)
    return (gradients.mean((2, 3), keepdim=True) * activations).sum(1)
