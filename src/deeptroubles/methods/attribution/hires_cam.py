"""HiResCAM: activation times gradient at each position (Draelos & Carin, 2020)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients
from deeptroubles.methods.targets import Images, Targets


def hires_cam(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Map of the layer's activations times the gradient with respect to them, summed over the channels.

    Like Grad-CAM, but without averaging gradients over positions. Raw and signed, at the layer's own resolution; the
    paper's final ReLU is not applied.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w, in logits per position: where only one linear layer follows (on pooled or flattened activations), its
        sum over positions is the logit without the bias.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        R. L. Draelos, L. Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
        networks, arXiv 2011.08891, 2020, equation 4 (without the ReLU).
    """
    activations, gradients = activations_and_gradients(classifier, images, target, against, layer)
    return (activations * gradients).sum(1)
