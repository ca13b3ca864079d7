"""LayerCAM: activation times the positive part of the gradient at each position (Jiang et al., 2021)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients
from deeptroubles.methods.targets import Images, Targets


def layer_cam(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Map of the layer's activations, each weighted by the positive part of its own gradient.

    Shows evidence for the class only, not against it: the ReLU on the gradient is part of the method, so after a ReLU
    layer the map is never negative. Suitable for shallow layers, too. At the layer's own resolution; the
    paper's final ReLU is not applied.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w, in logits per position.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        P.-T. Jiang et al.: LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, IEEE Transactions
        on Image Processing 2021, equations 5 and 6 (without the last ReLU).
    """
    activations, gradients = activations_and_gradients(classifier, images, target, against, layer)
    return (activations * gradients.relu()).sum(1)
