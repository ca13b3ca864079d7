"""Integrated gradients: the score difference to a baseline, distributed over the pixels (ICML 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.shared.gradients import pixel_gradients
from deeptroubles.methods.attribution.shared.perturbation import baseline_color, score_of_each
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets, as_batch
from deeptroubles.subject import logits_of


def integrated_gradients(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    baseline: float | Tensor | None = None,
    steps: Count = 32,
    batch_size: Count = 32,
) -> Tensor:
    """Map of (pixel - baseline) times the mean gradient on the path from baseline to image, summed over the channels.

    Raw and signed, in logits. Completeness: the map sums to the score of the image minus the score of the baseline, up
    to the integration error, which decreases with more steps.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        baseline: Start of the path: a gray level, or a tensor that broadcasts to an image. Default: the
            classifier's mean color, which its normalization maps to 0.
        steps: Points on the path (Gauss-Legendre quadrature), one backward pass each.
        batch_size: Points per backward pass.

    Returns:
        N x H x W.

    Raises:
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class, or there are no steps.

    References:
        M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks, ICML 2017, equation 1.
    """
    if steps < 1:
        raise UsageError(f"The number of steps is {steps}; give at least 1.")
    batch = as_batch(classifier, images)
    scores = score_of_each(classifier, logits_of(classifier, batch, batch_size), target, against)
    start = baseline_color(classifier, baseline, batch)
    nodes, weights = (torch.from_numpy(values).to(batch) / 2 for values in np.polynomial.legendre.leggauss(steps))
    total = torch.zeros_like(batch)
    for i, (image, score) in enumerate(zip(batch, scores, strict=True)):
        for node, weight in zip(torch.split(nodes, batch_size), torch.split(weights, batch_size), strict=True):
            way = start + (node + 0.5)[:, None, None, None] * (image - start)
            total[i] += torch.einsum("m,mchw->chw", weight, pixel_gradients(classifier, way, score))
    return (refuse_zero(classifier, total) * (batch - start)).sum(1)
