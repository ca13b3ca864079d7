"""Adversarial patch: one disc that, wherever it lies in whichever image, brings about one answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.expectation import Render, ascend_expectation, success_rate
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Positive, Seed, Share
from deeptroubles.methods.targets import as_batch
from deeptroubles.methods.transforms.shared.physical import Conditions, draw_views, place
from deeptroubles.statistics.intervals import Interval

ANYWHERE = Conditions(degrees=22.5, shift=0.3)
"""Where the patch lies, unless said otherwise."""


@dataclass(frozen=True)
class PatchResult:
    """A patch, and how often it works on views that it has not been made with.

    Attributes:
        patch: C x s x s in [0, 1], multiples of 1/255, what would be printed.
        mask: s x s, 1 inside of the disc.
        success: Share of fresh views with the patch that are answered with the target (Wilson's interval over views of
            these images; it says nothing about other images).
        control: The same views, with random content in the disc.
        clean: The same views without a disc.
        queries: How many images were shown to make the patch; forward and backward count as one.
    """

    patch: Tensor
    mask: Tensor
    success: Interval
    control: Interval
    clean: Interval
    queries: int


def patch(
    classifier: Classifier,
    images: Tensor,
    target: int,
    *,
    area: Share = 0.1,
    conditions: Conditions = ANYWHERE,
    steps: Count = 200,
    step_size: Positive = 0.05,
    views: Count = 200,
    seed: Seed = 0,
    batch_size: Count = 16,
) -> PatchResult:
    """Search one disc whose presence anywhere in any of the images brings about the target.

    The patch follows the gradient of the mean log-probability of the target over places, sizes, turns, perspectives,
    light and blur that are drawn anew at every step. It is judged on views drawn afterwards from another seed, beside
    random content of the same shape, and beside no disc at all. All this happens to pixels: success here is not success
    of a printed patch before a camera, which has to be tried with a printer and a camera.

    Args:
        classifier: The classifier.
        images: The backgrounds, N x C x H x W (or C x H x W), in [0, 1].
        target: The class to bring about.
        area: Share of the image that the disc covers at a scale of 1.
        conditions: Bounds of the views.
        steps: Steps of Adam.
        step_size: Its step, in pixel values.
        views: How many fresh views it is judged on; the images take turns.
        seed: Seed of the start and of the views.
        batch_size: Views of each step.

    Raises:
        UsageError: The target does not exist, or the area is not above 0 or larger than a disc in the image can be.

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
            return place(_centred(content, classifier.size), _centred(shape, classifier.size), batch[rows], drawn)

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

    def judged(content: Tensor, shape: Tensor) -> Interval:
        return success_rate(classifier, content, with_mask(shape), goal, views, seed + 1, batch_size)

    return PatchResult(
        found, mask, judged(found, mask), judged(noise, mask), judged(noise, torch.zeros_like(mask)), steps * batch_size
    )


def disc(side: int) -> Tensor:
    """Square of side x side pixels: 1 where a pixel's middle lies in the disc that touches all four sides, else 0."""
    offsets = torch.arange(side) - (side - 1) / 2
    return (offsets[:, None].square() + offsets.square() <= (side / 2) ** 2).float()


def _centred(content: Tensor, size: tuple[int, int]) -> Tensor:
    """Content (... x s x s) in the middle of a black picture (... x H x W)."""
    side = content.shape[-1]
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return torch.nn.functional.pad(content, (left, size[1] - side - left, top, size[0] - side - top))
