"""Gradient times input: the first-order contribution of every pixel to the score (Shrikumar et al., 2016)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.gradients import pixel_gradients
from deeptroubles.methods.attribution.shared.perturbation import baseline_color
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score


def gradient_x_input(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    baseline: float | Tensor | None = None,
) -> Tensor:
    """Map of gradient times (pixel - baseline), summed over the color channels.

    Raw and signed, in logits. With the default baseline this is the gradient times the normalized input, as in the
    paper: a pixel of the mean color has a contribution of 0. On a linear classifier the map sums to the score minus the
    score of the baseline.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        baseline: The reference image: a gray level, or a tensor that broadcasts to an image. Default: the
            classifier's mean color, which its normalization maps to 0.

    Returns:
        N x H x W.

    Raises:
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        A. Shrikumar et al.: Not Just a Black Box: Learning Important Features Through Propagating Activation
        Differences, arXiv 1605.01713, 2016 (as a baseline method).
    """
    batch = as_batch(classifier, images)
    difference = batch - baseline_color(classifier, baseline, batch)
    gradients = pixel_gradients(classifier, batch, target_score(classifier, target, against))
    return (refuse_zero(classifier, gradients) * difference).sum(1)
