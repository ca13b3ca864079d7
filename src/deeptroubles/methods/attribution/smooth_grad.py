"""SmoothGrad: the gradient averaged over noisy copies of the image (Smilkov et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.shared.gradients import pixel_gradients
from deeptroubles.methods.attribution.shared.perturbation import score_of_each
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.methods.parameters import Count, NonNegative, Seed
from deeptroubles.methods.targets import Images, Targets, as_batch
from deeptroubles.subject import logits_of


def smooth_grad(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    sigma: NonNegative = 0.15,
    samples: Count = 32,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> Tensor:
    """Map of the gradient, averaged over copies of the image with Gaussian noise, then summed over the channels.

    Raw and signed: gradients are averaged as they are. Noisy pixels are not clipped to [0, 1], as in the paper. The
    class is predicted on the clean image, and every image gets the same noise.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        sigma: Standard deviation of the noise, as a fraction of the image's own range (brightest minus darkest value).
        samples: Number of noisy copies.
        seed: Seed of the noise.
        batch_size: Noisy copies per forward pass.

    Returns:
        N x H x W, in logits per unit of brightness (black to white).

    Raises:
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class, there are no samples, or the noise is negative.

    References:
        D. Smilkov et al.: SmoothGrad: removing noise by adding noise, arXiv 1706.03825, 2017 (which uses
        10% to 20% noise and about 50 samples).
    """
    if samples < 1 or sigma < 0:
        raise UsageError(f"SmoothGrad cannot use samples={samples}, sigma={sigma:g}; give samples >= 1, sigma >= 0.")
    batch = as_batch(classifier, images)
    scores = score_of_each(classifier, logits_of(classifier, batch, batch_size), target, against)
    scales = sigma * (batch.amax((1, 2, 3)) - batch.amin((1, 2, 3)))
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(batch)
    for start in range(0, samples, batch_size):
        drawn = range(start, min(start + batch_size, samples))
        noise = torch.stack([torch.randn(batch.shape[1:], generator=generator) for _ in drawn]).to(batch)
        for i, (image, scale, score) in enumerate(zip(batch, scales, scores, strict=True)):
            total[i] += pixel_gradients(classifier, image + scale * noise, score).sum(0)
    return refuse_zero(classifier, total).sum(1) / samples
