"""The power of the search: what would have been noticed in these images, had it been there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.reliance.shortcut.candidates import FIXED_SIDE, scaled
from deeptroubles.engine import Arrays
from deeptroubles.methods.reliance.fixed_patches import fixed_patches
from deeptroubles.methods.reliance.treated_classes import treated_classes
from deeptroubles.methods.reliance.treatments import treat
from deeptroubles.subject import Subject

SHARES = (0.25, 0.5, 1.0)
"""Parts of a class that get a planted trouble."""
SIDE = 5
"""A planted patch covers 1 / SIDE of both sides."""
BLUR = 0.9
HALF = 0.5
"""A planted trouble is noticed if what is found holds at least this part of its images."""

Find = Callable[[Tensor, Tensor], Sequence[tuple[int, NDArray[np.int64]]]]
"""Finds classes and their images that have something in common."""


def power(subject: Subject, batch_size: int, *, rows: Sequence[int], seed: int) -> Arrays:
    """Whether a patch, and blur, planted on each of SHARES of the largest class is found: `noticed`, 2 x SHARES."""
    pixels, targets = subject.pixels(rows).cpu(), torch.from_numpy(subject.targets[list(rows)])
    small = scaled(pixels, FIXED_SIDE)
    patches = _noticed(small, targets, seed, _patched, lambda x, y: [(f.target, f.rows) for f in fixed_patches(x, y)])
    blurred = _noticed(
        pixels, targets, seed, _blurred, lambda x, y: [(f.target, f.rows) for f in treated_classes(x, y)]
    )
    return {"noticed": np.array([patches, blurred])}


def _noticed(
    pixels: Tensor, targets: Tensor, seed: int, plant: Callable[[Tensor, int], Tensor], find: Find
) -> list[bool]:
    """For each of SHARES whether it is noticed; what is noticed on a small share is noticed on a larger one."""
    largest = int(torch.bincount(targets).argmax())
    own = (targets == largest).nonzero()[:, 0].numpy()
    chosen = np.random.default_rng(seed).permutation(own)
    for i, share in enumerate(SHARES):
        carriers = chosen[: max(1, round(share * len(own)))]
        planted = pixels.clone()
        planted[carriers] = plant(pixels[carriers], seed)
        for target, found in find(planted, targets):
            if target == largest and np.isin(carriers, found).mean() >= HALF:
                return [False] * i + [True] * (len(SHARES) - i)
    return [False] * len(SHARES)


def _patched(images: Tensor, seed: int) -> Tensor:
    """Images with colored squares near a corner, the same for all."""
    random = torch.Generator().manual_seed(seed)
    side = max(4, min(images.shape[-2:]) // SIDE)
    cells = torch.rand(images.shape[1], 3, 3, generator=random)[None]
    patch = torch.nn.functional.interpolate(cells, (side, side), mode="nearest")
    top, left = (int(torch.randint(1, 3, (), generator=random)) for _ in range(2))
    planted = images.clone()
    planted[:, :, top : top + side, left : left + side] = patch
    return planted


def _blurred(images: Tensor, _: int) -> Tensor:
    return treat(images, "blur", BLUR)
