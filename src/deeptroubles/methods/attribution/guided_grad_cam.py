"""Guided Grad-CAM: guided backpropagation times Grad-CAM (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.grad_cam import grad_cam
from deeptroubles.methods.attribution.guided_backprop import guided_backprop
from deeptroubles.methods.targets import Images, Targets


def guided_grad_cam(
    classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None, layer: str | None = None
) -> Tensor:
    """Guided backpropagation times the positive part of Grad-CAM, which is scaled up to the image (bilinear).

    Only Grad-CAM is rectified, as in the paper: otherwise two negative values would count as evidence for the class.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        layer: Name of the layer for Grad-CAM. Default: the deepest one with positions.

    Returns:
        N x H x W, raw and signed: the sum over the color channels; zero where Grad-CAM is not positive.

    Raises:
        ModelError: The model has no rectifier, cannot be traced, or has no such layer.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        R. R. Selvaraju et al.: Grad-CAM, ICCV 2017, section 3.2.
    """
    guided = guided_backprop(classifier, images, target, against=against)
    coarse = grad_cam(classifier, images, target, against=against, layer=layer).clamp_min(0)
    return guided * interpolate(coarse[:, None], guided.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
