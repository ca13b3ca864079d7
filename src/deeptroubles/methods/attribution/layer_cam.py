"""LayerCAM: activation times the positive part of the gradient, position by position (Jiang et al., 2021)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients
from deeptroubles.methods.targets import Targets


def layer_cam(
    classifier: Classifier, images: Tensor, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Map of the layer's activations, each weighted by the positive part of its own gradient.

    Shows what speaks for the class and nothing against it: the ReLU on the gradient belongs to the method, so that
    after a ReLU layer the map is never negative. Made for shallow layers too. At the layer's own resolution; the
    paper's final ReLU is left to whoever draws it.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the most likely class of each image.
        against: Explain the lead over this class instead of the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w, in logits per position.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        UsageError: The target is no class.

    References:
        P.-T. Jiang et al.: LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, IEEE Transactions
        on Image Processing 2021, equations 5 and 6 (without the last ReLU).
    """
    activations, gradients = activations_and_gradients(classifier, images, target, against, layer)
    return (activations * gradients.relu()).sum(1)
