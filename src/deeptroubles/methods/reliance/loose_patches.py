"""Loose patches: find what recurs anywhere in images of one class, such as a logo without a fixed place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.reliance.shared.recurrence import (
    CHANCE,
    PIECE,
    SMALLEST,
    Recurrence,
    Whitening,
    likelihood_ratio,
    quantile,
    steady,
)

ALIKE, IDENTICAL = 0.55, 0.75
"""Smallest cosine at which two pieces match, and smallest mean cosine of all carriers: the wheels of cars in similar
photographs reach 0.66, logos 0.77 and more."""
LEAST = 12.0
"""Smallest score; higher than that of fixed patches, because more pieces are compared."""
DIRECTIONS = 64
STRONGEST = 0.25
"""Share of the pieces that are compared, those with the most structure."""
SEEDS = 1_200
"""Pieces of a class that are compared with all others."""
MARGIN = PIECE // 2


def loose_patches(images: Tensor, targets: Tensor) -> list[Recurrence]:
    """Find pieces that are nearly the same, at any place, in at least four images of one class.

    The quarter of all pieces of 8 x 8 pixels with the most structure is whitened and compared across images and places.
    A piece matches an image if its most similar piece there is more alike than nearly all pairs from different classes.

    Args:
        images: N x C x H x W in [0, 1], H and W at least 16; best scaled to about 32 pixels.
        targets: N, the classes.

    Returns:
        At most one patch for each class, those with the highest scores first.
    """
    every = Whitening.of(images, 1)
    strength = every.pieces(images, 1).norm(dim=2)
    strong = strength > quantile(strength.flatten(), 1 - STRONGEST)
    main = Whitening(every.center, every.matrix[:, -DIRECTIONS:])
    pieces = functional.normalize(main.pieces(images, 1)[strong], dim=1)
    image, place = strong.nonzero().unbind(1)
    found = []
    for target in torch.unique(targets).tolist():
        seeds = (targets[image] == target).nonzero()[:, 0]
        order = torch.randperm(len(seeds), generator=torch.Generator().manual_seed(0))
        seeds = seeds[order[:SEEDS]]
        best, where = _best(pieces, seeds, image, len(images))
        found += _recurring(best, where, pieces, place, targets, target, images)
    return sorted(found, key=lambda f: -f.score)


def _best(pieces: Tensor, seeds: Tensor, image: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The cosine of each seed with its most similar piece in each image, and the index of that: seeds x images."""
    best, where = torch.full((len(seeds), count), -1.0), torch.zeros(len(seeds), count, dtype=torch.long)
    for row in torch.unique(image).tolist():
        own = (image == row).nonzero()[:, 0]
        best[:, row], position = (pieces[seeds] @ pieces[own].T).max(1)
        where[:, row] = own[position]
    return best, where


def _recurring(
    best: Tensor, where: Tensor, pieces: Tensor, place: Tensor, targets: Tensor, target: int, images: Tensor
) -> list[Recurrence]:
    """The patch around the seed with the highest score."""
    own, others = (targets == target).nonzero()[:, 0], best[:, targets != target]
    if len(own) <= SMALLEST or not others.numel():
        return []
    limit = max(ALIKE, quantile(others.flatten(), CHANCE))
    match = best[:, own] > limit  # every seed matches its own image
    counts = match.sum(1) - 1
    elsewhere = (others > limit).float().mean(1).clamp_min(1 - CHANCE)
    alike = ((best[:, own] * match).sum(1) - 1) / counts.clamp_min(1)
    scores = alike * likelihood_ratio(counts.float(), len(own) - 1, elsewhere) * (counts >= SMALLEST - 1)
    first = int(scores.argmax())
    if float(scores[first]) < LEAST:
        return []
    rows = own[match[first]]
    shown = pieces[where[first, rows]]
    cosines = shown @ shown.T
    if float((cosines.sum() - len(rows)) / (len(rows) * (len(rows) - 1))) < IDENTICAL:
        return []
    masks = _masks(images, rows, place[where[first, rows]])
    return [Recurrence(target, rows.numpy(), masks.numpy(), fixed=False, score=float(scores[first]))]


def _masks(images: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """The pixels around the pieces that vary less among the aligned carriers than images do: K x H x W."""
    height, width = images.shape[-2:]
    tops, lefts = places // (width - PIECE + 1), places % (width - PIECE + 1)
    side = PIECE + 2 * MARGIN
    padded = functional.pad(images[rows], (MARGIN,) * 4, mode="reflect")
    corners = list(zip(tops.tolist(), lefts.tolist(), strict=True))
    parts = zip(padded, corners, strict=True)
    aligned = torch.stack([image[:, top : top + side, left : left + side] for image, (top, left) in parts])
    usual = images.var(0).mean().expand(side, side)
    shape = steady(aligned, usual)
    shape = shape if int(shape.sum()) >= SMALLEST else torch.ones(side, side, dtype=torch.bool)
    masks = torch.zeros(len(rows), height + 2 * MARGIN, width + 2 * MARGIN, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + side, left : left + side] = shape
    return masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
