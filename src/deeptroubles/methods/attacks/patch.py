"""Adversarial patch: a disc that causes one prediction, anywhere in any image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.expectation import Render, ascend_expectation, success_rate
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.sticker import centered
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Positive, Seed, Share
from deeptroubles.methods.targets import Images, as_batch
from deeptroubles.methods.transforms.shared.physical import Conditions, draw_views, place
from deeptroubles.statistics.intervals import Interval

ANYWHERE = Conditions(degrees=22.5, shift=0.3)
"""The default positions of the patch."""


@dataclass(frozen=True, repr=False)
class PatchResult(Brief):
    """A patch, and its success rate on new views.

    Attributes:
        patch: C x s x s in [0, 1], multiples of 1/255.
        mask: s x s, 1 inside the disc.
        success: Share of new views with the patch that are predicted as the target (Wilson interval over views of these
            images; it does not cover other images).
        control: The same views, with random content in the disc.
        clean: The same views without a disc.
        queries: Number of images used to optimize the patch; forward and backward pass count as one.
    """

    patch: Tensor
    mask: Tensor
    success: Interval
    control: Interval
    clean: Interval
    queries: int


@torch.inference_mode(mode=False)
def patch(
    classifier: Classifier,
    images: Images,
    target: int | str,
    *,
    area: Share = 0.1,
    conditions: Conditions = ANYWHERE,
    steps: Count = 200,
    step_size: Positive = 0.05,
    views: Count = 200,
    seed: Seed = 0,
    batch_size: Count = 16,
) -> PatchResult:
    """Find one disc that causes the target as prediction, anywhere in any of the images.

    The patch follows the gradient of the mean log-probability of the target over random positions, sizes, rotations,
    perspectives, light and blur, new at every step. It is evaluated on new views from another seed and compared with
    random content of the same shape and with no disc. The attack is digital: it does not show that a printed patch
    works in front of a camera, which has to be tested with a printer and a camera.

    Args:
        classifier: The classifier.
        images: The backgrounds, N x C x H x W (or C x H x W), in [0, 1].
        target: The class to cause, its index or its name.
        area: Share of the image that the disc covers at a scale of 1.
        conditions: Bounds of the views.
        steps: Steps of Adam.
        step_size: Learning rate of Adam, in pixel values.
        views: Number of new views for the evaluation; images are used in turn.
        seed: Seed of the start and of the views.
        batch_size: Views per step.

    Returns:
        The patch, and success rates on new views, with two controls.

    Raises:
        UsageError: The target does not exist, or a disc of this area does not fit into the image.

    References:
        T. B. Brown et al., Adversarial patch, 2017, eq. 1.
    """
    batch = as_batch(classifier, images)
    goal = Goal.of(classifier, len(batch), None, target)
    side = round(2 * math.sqrt(area * classifier.size[0] * classifier.size[1] / math.pi)) if area > 0 else 0
    if not 1 <= side <= min(classifier.size):
        raise UsageError(f"A disc with {area:g} of the image's area does not fit; choose an area above 0, e.g. 0.1.")
    mask = disc(side).to(batch)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(classifier.channels, side, side, generator=generator).to(batch)

    def with_mask(shape: Tensor) -> Render:
        def render(content: Tensor, rows: Tensor, drawing: torch.Generator) -> Tensor:
            drawn = draw_views(len(rows), classifier.channels, classifier.size, conditions, drawing)
            return place(centered(content, classifier.size), centered(shape, classifier.size), batch[rows], drawn)

        return render

    found = ascend_expectation(
        classifier,
        0.5 + 0.1 * (noise - 0.5),
        with_mask(mask),
        goal,
        penalty=None,
        keep=lambda now: now.clamp(0, 1),
        steps=steps,
        step_size=step_size,
        batch_size=batch_size,
        generator=generator,
    )
    found = as_8_bit(found)

    def rate(content: Tensor, shape: Tensor) -> Interval:
        return success_rate(classifier, content, with_mask(shape), goal, views, seed + 1, batch_size)

    return PatchResult(
        found, mask, rate(found, mask), rate(noise, mask), rate(noise, torch.zeros_like(mask)), steps * batch_size
    )


def disc(side: int) -> Tensor:
    """Mask of side x side pixels: 1 where a pixel's center lies in the disc that touches all four sides, else 0."""
    offsets = torch.arange(side) - (side - 1) / 2
    return (offsets[:, None].square() + offsets.square() <= (side / 2) ** 2).float()
