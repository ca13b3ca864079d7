"""Gradient times input: the first-order share of every pixel in the score (Shrikumar et al., 2016)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attribution.shared.gradients import pixel_gradients
from deeptroubles.methods.attribution.shared.perturbation import baseline_color
from deeptroubles.methods.targets import Targets, as_batch, target_score


def gradient_x_input(
    classifier: Classifier,
    images: Tensor,
    target: Targets = None,
    *,
    against: Targets = None,
    baseline: float | Tensor | None = None,
) -> Tensor:
    """Map of gradient times (pixel - baseline), summed over the colour channels.

    Raw and signed, in logits. With the default baseline this is the gradient times the normalised input, as in the
    paper: a pixel of the mean colour has no share. On a linear classifier the map sums to the score minus the score of
    the baseline.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the most likely class of each image.
        against: Explain the lead over this class instead of the target's logit alone.
        baseline: The pixels that stand for nothing: a grey level, or a tensor that broadcasts to an image. Default: the
            classifier's mean colour, which its normalisation maps to 0.

    Returns:
        N x H x W.

    Raises:
        UsageError: The target is no class.

    References:
        A. Shrikumar et al.: Not Just a Black Box: Learning Important Features Through Propagating Activation
        Differences, arXiv 1605.01713, 2016, where it is the method compared with.
    """
    batch = as_batch(classifier, images)
    difference = batch - baseline_color(classifier, baseline, batch)
    gradients = pixel_gradients(classifier, batch, target_score(classifier, target, against))
    return (gradients * difference).sum(1)
