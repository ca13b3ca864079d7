"""XGrad-CAM: Grad-CAM with the gradients averaged by activation (Fu et al., BMVC 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients
from deeptroubles.methods.targets import Images, Targets


def xgrad_cam(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Map of the layer's channels, each weighted by its gradient averaged over positions in proportion to activation.

    Raw and signed, at the layer's own resolution; the paper's final ReLU is not applied. A channel whose
    activations sum to 0 has no such average and gets weight 0.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of a layer with positions. Default: the deepest one.

    Returns:
        N x h x w, in logits per position: the sum over positions is that of HiResCAM, i.e. of activation times
        gradient.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        R. Fu et al.: Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs, BMVC 2020,
        equation 8 (without the ReLU).
    """
    activations, gradients = activations_and_gradients(classifier, images, target, against, layer)
    total = activations.sum((2, 3), keepdim=True)
    counts = total.abs() > 1e-6 * activations.abs().sum((2, 3), keepdim=True)
    weighted = (activations * gradients).sum((2, 3), keepdim=True)
    weights = torch.where(counts, weighted / torch.where(counts, total, 1), 0)
    return (weights * activations).sum(1)
