"""Fooling images by gradient ascent: meaningless images with high confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.attacks.shared.balls import steepest_direction
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import quick_gradient
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

STEP = 0.01
"""Step length, as root mean square over pixels."""
TARGET_CONFIDENCE = 0.999
"""Images with at least this confidence are finished."""


@dataclass(frozen=True, repr=False)
class FoolingImages(Brief):
    """One meaningless image per class, rounded to 8 bits, with the network's confidence.

    Attributes:
        classes: The class of each image, M.
        images: M x C x H x W, multiples of 1/255.
        confidence: Probability of the class for exactly these pixels, M.
        start: Probability of the class for the first image (noise, or the best of the first generation), M.
        queries: Total number of images shown to the network.
    """

    classes: Tensor
    images: Tensor
    confidence: Tensor
    start: Tensor
    queries: int


def fooling_ascent(
    classifier: Classifier, classes: Sequence[int], *, steps: Count = 200, seed: Seed = 0, batch_size: Count = 32
) -> FoolingImages:
    """Follow the gradient of each class's cross-entropy from noise around the mean color to 99.9% confidence.

    The published code does not clip or round its images, and rescales them when it saves them. Here pixels stay in
    [0, 1], and the confidence is that of the 8-bit image.

    Args:
        classifier: The classifier.
        classes: Class indices, one image each.
        steps: Maximum number of steps.
        seed: Seed of the noise; an image does not depend on the other classes.
        batch_size: Images per forward pass.

    Returns:
        One image per class.

    Raises:
        UsageError: A class does not exist.

    References:
        A. Nguyen, J. Yosinski, J. Clune, Deep neural networks are easily fooled, CVPR 2015, section 3.3.
    """
    goal = Goal.of(classifier, len(classes), None, list(classes))
    gradient_at = quick_gradient(classifier)
    size = (classifier.channels, *classifier.size)
    noise = torch.stack(
        [torch.randn(size, generator=torch.Generator().manual_seed(seed * 1_000_003 + c)) for c in classes]
    )
    mean, std = classifier.mean.to(noise), classifier.std.to(noise)
    first = (mean + noise * std).clamp(0, 1).to(classifier.device)
    found, queries = first.clone(), 0
    length = STEP * first[0].numel() ** 0.5
    for rows in track(torch.split(torch.arange(len(found)), batch_size), "Making fooling images"):
        going = rows
        for _ in range(steps):
            logits, gradient = gradient_at(found[going], goal[going], "cross_entropy", None)
            queries += len(going)
            done = logits.softmax(1).gather(1, goal.classes[going, None])[:, 0] > TARGET_CONFIDENCE
            going, gradient = going[~done], gradient[~done]
            if not len(going):
                break
            found[going] = (found[going] + length * steepest_direction(gradient, "l2")).clamp(0, 1)
    images = as_8_bit(found)
    confidence, start = (
        logits_of(classifier, each, batch_size).softmax(1).gather(1, goal.classes[:, None])[:, 0]
        for each in (images, first)
    )
    return FoolingImages(goal.classes, images, confidence, start, queries + 2 * len(found))
