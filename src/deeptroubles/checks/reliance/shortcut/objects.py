"""Which patches may be the object itself: in aligned images, such as digits, the object recurs as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.checks.reliance.shared.objects import FOUND
from deeptroubles.methods.reliance.shared.recurrence import Recurrence
from deeptroubles.methods.segmentation.find_objects import find_objects
from deeptroubles.subject import Subject

MIDDLE = 0.6
"""A patch with more than this share of its area in the middle quarter of the image may be the object itself."""
LARGE = 0.25
"""So may a patch that covers more than this share of the middle quarter."""
COVERED = 0.1
"""A patch that covers more than this share of the objects, or in aligned images of the middle quarter, may be one."""
EMPTY = 0.02
"""Values that differ by less are equal."""
ALIGNED = 1 / 3
"""Images are aligned if a patch of at least this share of the classes (and of two) covers part of the middle."""


def beside_objects(found: Sequence[Recurrence], objects: Sequence[Tensor | None], classes: int) -> list[Recurrence]:
    """The patches that are not the object itself.

    Overlays lie beside the objects, which differ in place and shape. A patch is taken for the object if it covers a
    part of the known objects, if it lies in the middle, or if images are aligned and it lies where objects recur.

    Args:
        found: What recurs.
        objects: The mask of the object of each image, H x W; None where it is unknown.
        classes: The number of classes.
    """
    central = [f for f in found if f.fixed and _middle(f.masks).mean() > COVERED]
    aligned = len({f.target for f in central}) >= max(2, ALIGNED * classes)
    where = np.any([f.masks[0] for f in central], axis=0) if aligned else None
    beside = [f for f in found if not _is_central(f.masks) and _covered(f, objects) <= COVERED]
    return [f for f in beside if where is None or not _on(f.masks, where)]


def known_objects(subject: Subject, rows: Sequence[int], masked: Sequence[int]) -> list[Tensor | None]:
    """The mask of the object of each image: those that were given, or those found if objects stand out in most."""
    if len(masked):
        given = dict(zip(masked, subject.masks(masked).cpu(), strict=True))
        return [given.get(row) for row in rows]
    found = find_objects(subject.pixels(rows).cpu())
    if not len(rows) or float(found.found.float().mean()) < FOUND:
        return [None] * len(rows)
    return [mask if known else None for mask, known in zip(found.masks, found.found.tolist(), strict=True)]


def is_empty(found: Recurrence, images: Tensor) -> bool:
    """Whether most of a patch has the color that the border of images (N x C x H x W) usually has: nothing is there."""
    border = torch.cat([images[..., [0, -1], :].flatten(2), images[..., [0, -1]].flatten(2)], dim=2)
    ground = border.transpose(0, 1).flatten(1).median(1).values
    carriers = images[torch.from_numpy(found.rows)].median(0).values[:, torch.from_numpy(found.masks[0].copy())]
    return bool(((carriers - ground[:, None]).abs().amax(0) < EMPTY).float().mean() > 1 / 2)


def in_middle(masks: NDArray[np.bool_]) -> float:
    """The share of the area of masks (K x h x w) that lies in the middle half of both sides."""
    return float(_middle(masks).sum() / masks.sum())


def _is_central(masks: NDArray[np.bool_]) -> bool:
    return in_middle(masks) > MIDDLE or float(_middle(masks).mean()) > LARGE


def _middle(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    height, width = masks.shape[1:]
    return masks[:, height // 4 : height - height // 4, width // 4 : width - width // 4]


def _covered(found: Recurrence, objects: Sequence[Tensor | None]) -> float:
    """The median share of the known objects of the carriers that the patch covers; 0 if none is known."""
    shares = []
    for row, mask in zip(found.rows.tolist(), found.masks, strict=True):
        known = objects[row]
        if known is not None and known.any():
            place = functional.interpolate(known[None, None].float(), mask.shape, mode="area")[0, 0]
            shares.append(float(place[torch.from_numpy(mask)].sum() / place.sum()))
    return float(np.median(shares)) if shares else 0.0


def _on(masks: NDArray[np.bool_], where: NDArray[np.bool_]) -> bool:
    """Whether masks (K x h x w) lie for the most part at some places (H x W)."""
    scaled = functional.interpolate(torch.from_numpy(where)[None, None].float(), masks.shape[1:], mode="nearest")
    return bool((masks & (scaled[0, 0] > 0).numpy()).sum() > masks.sum() / 2)
