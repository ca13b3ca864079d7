"""Saliency: the plain gradient of the score (Simonyan et al., ICLR workshop 2014)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.gradients import pixel_gradients
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score


def saliency(classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None) -> Tensor:
    """Map of the gradient of the target's logit with respect to the pixels, summed over the color channels.

    Positive where a brighter pixel (by the same amount in all channels) raises the score, negative where it lowers it.
    Raw and signed. The paper uses the largest magnitude over the channels instead, which has no sign.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.

    Returns:
        N x H x W, in logits per unit of brightness (black to white).

    Raises:
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        K. Simonyan, A. Vedaldi, A. Zisserman: Deep Inside Convolutional Networks, ICLR workshop 2014, section 3.1.
    """
    score = target_score(classifier, target, against)
    return refuse_zero(classifier, pixel_gradients(classifier, as_batch(classifier, images), score)).sum(1)
