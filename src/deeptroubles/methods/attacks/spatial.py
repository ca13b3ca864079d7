"""Spatial attack: search for a small shift and rotation that changes the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.shared.balls import quantize
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.result import AttackResult, scored
from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.methods.transforms.shared.warp import Border, rotation, translation, warp
from deeptroubles.subject import logits_of

SHIFTS, ANGLES = 5, 31
"""Values along each axis of the grid (Engstrom et al.): 5 x 5 x 31 = 775."""


@dataclass(frozen=True, repr=False)
class SpatialResult(AttackResult):
    """What was found for each image; distance is the L2 norm, which is large even for small shifts.

    Attributes:
        transformation: Pixels down, pixels to the right, and degrees counter-clockwise, N x 3; 0 where it failed.
    """

    transformation: Tensor


def spatial(
    classifier: Classifier,
    images: Images,
    labels: Targets = None,
    *,
    targets: Targets = None,
    pixels: NonNegative = 3,
    degrees: NonNegative = 30,
    border: Border = "black",
    batch_size: Count = 32,
) -> SpatialResult:
    """Try every shift and rotation of a grid, smallest first; an image is finished at its first success.

    The grid has 5 shifts down, 5 to the right and 31 angles, from minus to plus the bounds: 775 transformations. A
    failure means that none of them changes the prediction; those in between are not tested. (Gradient-based search
    finds fewer, according to Engstrom et al.)

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1]; they are rounded to 8 bits.
        labels: True class, for all images or one each.
        targets: Targeted attack: the class to reach. Default: any class but the true one.
        pixels: Largest shift, in pixels; may be a fraction.
        degrees: Largest rotation, in degrees.
        border: What comes in from outside: `black` or `mirror`.
        batch_size: Images per forward pass.

    Returns:
        The images found, and for each image whether the attack succeeded, the transformation, the distance and the
        number of queries.

    Raises:
        UsageError: A bound is negative, a class or the border does not exist, or neither labels nor targets are given.

    References:
        L. Engstrom et al., Exploring the landscape of spatial robustness, ICML 2019.
    """
    if pixels < 0 or degrees < 0:
        raise UsageError(f"The bounds are {pixels:g} pixels and {degrees:g} degrees; give 0 or more.")
    clean, places = (
        clean_batch(classifier, images, eight_bit=True),
        _grid() * torch.tensor([pixels, pixels, degrees], dtype=torch.float64),
    )
    goal = Goal.of(classifier, len(clean), labels, targets)
    found, chosen = clean.clone(), torch.zeros(len(clean), 3, dtype=torch.float64)
    queries = torch.zeros(len(clean), dtype=torch.long, device=clean.device)
    rows, at = torch.arange(len(clean)), 0
    while len(rows) and at < len(places):
        tried = places[at : at + max(1, batch_size // len(rows))] if at else places[:1]
        count = len(tried)
        shown = clean[rows].repeat_interleave(count, 0)
        shown = quantize(_moved(shown, tried.repeat(len(rows), 1), border), shown) if at else shown
        hits = goal[rows.repeat_interleave(count).to(clean.device)].reached(logits_of(classifier, shown, batch_size))
        hits, first = hits.view(-1, count).max(1)
        queries[rows] += torch.where(hits, first + 1, count)
        for i in hits.nonzero()[:, 0].tolist():
            found[rows[i]], chosen[rows[i]] = shown[i * count + first[i]], tried[first[i]]
        rows, at = rows[~hits.cpu()], at + count
    result = scored(classifier, clean, found, goal, "l2", queries, batch_size)
    return SpatialResult(**vars(result), transformation=chosen * result.success.cpu()[:, None])


def _grid() -> Tensor:
    """All transformations with bounds of 1, 775 x 3, the smallest first; the first changes nothing."""
    shifts, angles = (
        torch.arange(1 - count, count, 2, dtype=torch.float64) / (count - 1) for count in (SHIFTS, ANGLES)
    )
    places = torch.cartesian_prod(shifts, shifts, angles)
    return places[places.square().sum(1).round(decimals=9).argsort(stable=True)]


def _moved(images: Tensor, places: Tensor, border: Border) -> Tensor:
    source = [rotation(degrees) @ translation(down, right) for down, right, degrees in places.tolist()]
    return warp(images, torch.stack(source), border)
