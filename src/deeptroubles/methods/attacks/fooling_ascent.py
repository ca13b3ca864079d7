"""Fooling images by gradient ascent: noise that the network is sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.balls import steepest_direction
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import loss_gradient
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.network import open_network
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

STEP = 0.01
"""Length of a step, as root mean square over pixels."""
SURE = 0.999
"""A picture of which the network is this sure is finished."""


@dataclass(frozen=True)
class FoolingImages:
    """One picture per class that means nothing to people, as a file holds it, and how sure the network is of it.

    Attributes:
        classes: The class of each picture, M.
        images: M x C x H x W, multiples of 1/255.
        confidence: Probability of the class for exactly these pixels, M.
        start: Probability of the class for the first picture (noise, or the best of the first generation), M.
        queries: How often a picture was shown, in total.
    """

    classes: Tensor
    images: Tensor
    confidence: Tensor
    start: Tensor
    queries: int


def fooling_ascent(
    classifier: Classifier, classes: Sequence[int], *, steps: Count = 200, seed: Seed = 0, batch_size: Count = 32
) -> FoolingImages:
    """Follow the gradient of each class's cross-entropy from noise around the mean colour, until the network is sure.

    The published code neither clips nor rounds and rescales its pictures when it saves them. Here pixels stay in
    [0, 1], and the confidence is that of the 8-bit picture.

    Args:
        classifier: The classifier.
        classes: Class indices; each gets a picture.
        steps: How many at most.
        seed: Seed of the noise; a picture does not depend on the other classes.
        batch_size: How many pictures are shown at once.

    Raises:
        UsageError: A class does not exist.

    References:
        A. Nguyen, J. Yosinski, J. Clune, Deep neural networks are easily fooled, CVPR 2015, section 3.3.
    """
    goal = Goal.of(classifier, len(classes), None, list(classes))
    network = open_network(classifier)
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
            logits, gradient = loss_gradient(network, found[going], goal[going], "cross_entropy")
            queries += len(going)
            sure = logits.softmax(1).gather(1, goal.classes[going, None])[:, 0] > SURE
            going, gradient = going[~sure], gradient[~sure]
            if not len(going):
                break
            found[going] = (found[going] + length * steepest_direction(gradient, "l2")).clamp(0, 1)
    return scored_pictures(classifier, goal.classes, first, found, queries, batch_size)


def scored_pictures(
    classifier: Classifier, classes: Tensor, first: Tensor, found: Tensor, queries: int, batch_size: int
) -> FoolingImages:
    """Round pictures to 8 bits and ask the network how sure it is of them."""
    images = as_8_bit(found)
    confidence, start = (
        logits_of(classifier, each, batch_size).softmax(1).gather(1, classes[:, None])[:, 0] for each in (images, first)
    )
    return FoolingImages(classes, images, confidence, start, queries + 2 * len(found))
