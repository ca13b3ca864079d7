"""Fixed patches: find what recurs at one place in images of one class, such as a watermark or a date stamp."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.reliance.shared.recurrence import (
    CHANCE,
    LEAST,
    PIECE,
    SMALLEST,
    Recurrence,
    Whitening,
    likelihood_ratio,
    quantile,
    steady,
)

STRIDE = PIECE // 2
ALIKE = 0.25
"""Smallest cosine at which two pieces match."""
PER_CLASS = 3
RECURS = 0.12
"""Smallest mean cosine of the carriers' pieces at a place that belongs to the patch."""

Box = tuple[int, int, int, int]
"""Top, left, height and width, in places."""


def fixed_patches(images: Tensor, targets: Tensor) -> list[Recurrence]:
    """Find pieces that are nearly the same, at the same place, in at least four images of one class.

    Natural images of a class do not share near-identical pieces; watermarks, stamps, tags, rulers and borders do, also
    when only some images of the class have them, or when they differ a little. Pieces of 8 x 8 pixels are whitened, and
    compared at every place and in boxes of places. Pairs of images match if their cosine is higher than that of nearly
    all pairs from different classes. The image with the most matches in its class starts a patch, which then grows to
    all places at which its carriers agree, and to all images of the class that agree with them. Images that match in
    more than half of all places count as copies of each other, and their matches are ignored.

    Args:
        images: N x C x H x W in [0, 1], H and W at least 16; memory grows with N squared times places.
        targets: N, the classes.

    Returns:
        Patches with the highest scores first, at most three for each class.
    """
    whitening = Whitening.of(images, STRIDE)
    pieces = whitening.pieces(images, STRIDE)
    shape = (1 + (images.shape[-2] - PIECE) // STRIDE, 1 + (images.shape[-1] - PIECE) // STRIDE)
    seeds = _seeds(pieces, targets, shape)
    found: list[Recurrence] = []
    for seed in sorted(seeds, key=lambda s: -s.score):
        same = [f for f in found if f.target == seed.target]
        known = any(_share(seed.rows.tolist(), f.rows.tolist()) >= 0.5 for f in same)
        if not known and len(same) < PER_CLASS:
            found.append(_grown(seed, images, targets, pieces, shape))
    return found


@dataclass(frozen=True)
class _Seed:
    """Images of one class that match in a box of places."""

    score: float
    target: int
    box: Box
    rows: Tensor


def _share(some: list[int], others: list[int]) -> float:
    return len(set(some) & set(others)) / min(len(some), len(others))


def _boxes(shape: tuple[int, int]) -> list[Box]:
    """Boxes of one or two places, of half the image, and of all of it, in both directions; none covers most of it."""
    sides = [sorted({1, min(2, n), max(1, n // 2), n}) for n in shape]
    return [
        (top, left, height, width)
        for height, width in product(*sides)
        if height * width <= 0.6 * shape[0] * shape[1]
        for top in range(0, shape[0] - height + 1, max(1, height // 2))
        for left in range(0, shape[1] - width + 1, max(1, width // 2))
    ]


def _seeds(pieces: Tensor, targets: Tensor, shape: tuple[int, int]) -> list[_Seed]:
    at_place = pieces.transpose(0, 1)
    products = at_place @ at_place.transpose(1, 2)  # places x N x N
    cross = targets[:, None] != targets[None]
    same = ~cross & ~_copies(products)
    sums = functional.pad(products.view(*shape, *cross.shape), (0, 0, 0, 0, 1, 0, 1, 0)).cumsum(0).cumsum(1)
    seeds = []
    for box in _boxes(shape):
        top, left, height, width = box
        inside = sums[top + height, left + width] - sums[top, left + width]
        inside = inside - sums[top + height, left] + sums[top, left]
        seeds += _in_box(inside, box, targets, cross, same)
    return seeds


def _copies(products: Tensor) -> Tensor:
    """Pairs that match in more than half of all places, and each image with itself: N x N, bool."""
    matching = torch.zeros(products.shape[1:])
    for each in products:
        norm = each.diagonal().clamp_min(1e-6).sqrt()
        matching += (each / norm[:, None] / norm > 0.5).float()
    return (matching / len(products) > 0.5) | torch.eye(len(matching), dtype=torch.bool)


def _in_box(products: Tensor, box: Box, targets: Tensor, cross: Tensor, same: Tensor) -> list[_Seed]:
    """For each class the image with the most matches in a box, if enough; `products` are N x N inner products."""
    norm = products.diagonal().clamp_min(1e-6).sqrt()
    cosine = products / norm[:, None] / norm
    textured = norm > 0.5 * norm.median()  # smooth regions are alike because there is nothing in them
    limit = max(ALIKE, quantile(cosine[cross], CHANCE))
    match = (cosine > limit) & textured[:, None] & textured
    elsewhere = ((match & cross).sum(1) / cross.sum(1)).clamp_min(1 - CHANCE)
    match = match & same
    counts, seeds = match.sum(1), []
    for target in torch.unique(targets).tolist():
        members = (targets == target).nonzero()[:, 0]
        first = members[counts[members].argmax()]
        if int(counts[first]) < SMALLEST - 1:
            continue
        rows = torch.cat([first[None], match[first].nonzero()[:, 0]])
        alike = float(cosine[rows][:, rows][~torch.eye(len(rows), dtype=torch.bool)].median())
        score = alike * float(likelihood_ratio(counts[first].float(), len(members) - 1, elsewhere[first]))
        if alike >= 0.8 * limit and score >= LEAST:
            seeds.append(_Seed(score, target, box, rows))
    return seeds


def _grown(seed: _Seed, images: Tensor, targets: Tensor, pieces: Tensor, shape: tuple[int, int]) -> Recurrence:
    """Alternate between the places at which the carriers agree, and the images of the class that agree with them."""
    top, left, height, width = seed.box
    inside, rows = torch.zeros(shape, dtype=torch.bool), seed.rows
    inside[top : top + height, left : left + width] = True
    places, others = inside.flatten(), targets != seed.target
    for _ in range(3):
        agreement = _agreement(pieces[:, places].flatten(1), rows)
        limit = max(RECURS, 0.5 * float(agreement[rows].median()))
        members = ((agreement > limit) & (targets == seed.target)).nonzero()[:, 0]
        rows = members if len(members) >= SMALLEST else rows
        by_place = torch.stack([_excess(p, rows, others) for p in pieces.transpose(0, 1)])
        places = by_place > max(RECURS, 0.3 * float(by_place.max()))
    mask = _mask(places, rows, images)
    masks = mask.expand(len(rows), -1, -1).numpy()
    return Recurrence(seed.target, rows.numpy(), masks, fixed=True, score=seed.score)


def _agreement(values: Tensor, rows: Tensor) -> Tensor:
    """The cosine of every row of values (N x D) with the sum of the carriers, each carrier's own part left out: N."""
    total = values[rows].sum(0).expand_as(values).clone()
    total[rows] -= values[rows]
    return functional.cosine_similarity(values, total, dim=1)


def _excess(values: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """How much more the carriers agree than images of other classes agree with them."""
    agreement = _agreement(values, rows)
    return agreement[rows].mean() - agreement[others].mean().clamp_min(0)


def _mask(places: Tensor, rows: Tensor, images: Tensor) -> Tensor:
    """The pixels of some places at which the carriers vary less, and are closer to their mean, than other images."""
    covered = places.float().expand(PIECE * PIECE, -1)[None].contiguous()
    near = functional.fold(covered, images.shape[-2:], PIECE, stride=STRIDE)[0, 0] > 0
    others = torch.ones(len(images), dtype=torch.bool)
    others[rows] = False
    usual = images[others].var(0).mean(0)
    usual = (usual * usual.maximum(usual.median())).sqrt()  # where every class has a patch, others vary less as well
    usual = usual.minimum((images[others] - images[rows].mean(0)).square().mean((0, 1)))  # empty in all is no patch
    mask = near & steady(images[rows], usual)
    return mask if int(mask.sum()) >= SMALLEST else near
