"""Object masks from a segmentation model that a person names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles.classifier import evaluating, unit_pixels
from deeptroubles.engine.engine import chunks_of
from deeptroubles.errors import ModelError, UnreadableImageError
from deeptroubles.images import ImageSet
from deeptroubles.models import load_module
from deeptroubles.progress import track

SIDE = 320
"""Images are shown at this size, squeezed to a square, as networks for salient objects are trained."""
_WANTED = (
    "it must take images (N x 3 x H x W, in [0, 1]) and return one map of logits for the object (N x 1 x h x w), or "
    "maps of classes of which the first is the background (N x K x h x w)"
)


@dataclass(frozen=True)
class _FoundMasks:
    """Gives masks at the size of their images, as 0 and 255; None where an image could not be read or has no object.

    Attributes:
        bits: SIDE x SIDE bits for each image, packed.
        sizes: Width and height of each image.
    """

    bits: Sequence[NDArray[np.uint8] | None]
    sizes: Sequence[tuple[int, int]]

    def __call__(self, index: int) -> NDArray[np.uint8] | None:
        packed = self.bits[index]
        if packed is None:
            return None
        mask = Image.fromarray(255 * np.unpackbits(packed).reshape(SIDE, SIDE))
        return np.asarray(mask.resize(self.sizes[index], Image.Resampling.BILINEAR).point([0] * 128 + [255] * 128))


def segment_objects(images: ImageSet, model: str | nn.Module, batch_size: int = 8) -> ImageSet:
    """The same images, with object masks from a segmentation model; they take the place of masks that they had.

    Args:
        images: The images; each is shown once, now.
        model: A torch module, or where one comes from: a program (`.pt2`, `.ts`) or a function of your own
            (`package.module:function`). It takes images (N x 3 x H x W, in [0, 1], here 320 x 320) and returns one map
            of logits (N x 1 x h x w; the object is where they are above 0), or one map for each class, the first for
            the background (N x K x h x w; the object is where another is larger). Of a dictionary the entry `out`, of
            a list the first entry counts. Preprocessing belongs into the module.
        batch_size: How many images are shown at once.

    Raises:
        UsageError: The source has none of these forms.
        ModelError: The model cannot be loaded, or returns something else.
    """
    module = load_module(model) if isinstance(model, str) else model
    bits: list[NDArray[np.uint8] | None] = [None] * len(images)
    sizes = [(0, 0)] * len(images)
    rows = chunks_of(range(len(images)), batch_size)
    for part in track(rows, "Segmenting objects", sizes=list(map(len, rows))):
        shown, kept = list[NDArray[np.uint8]](), list[int]()
        for row in part:
            try:
                image = images[row].convert("RGB")
            except UnreadableImageError:
                continue  # the recording counts it
            sizes[row] = image.size
            shown.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
            kept.append(row)
        for row, mask in zip(kept, _masks(module, unit_pixels(np.stack(shown))) if shown else (), strict=True):
            bits[row] = np.packbits(mask.numpy()) if mask.any() else None
    found = sum(each is not None for each in bits)
    note = f"Object masks from a segmentation model in {found} of {len(images)} images."
    return replace(images, fetch_mask=_FoundMasks(bits, sizes), notes=(*images.notes, note))


@torch.inference_mode()
def _masks(module: nn.Module, images: Tensor) -> Tensor:
    """Where the objects are, N x SIDE x SIDE, bool. Raises ModelError."""
    like = next((p for p in module.parameters() if p.is_floating_point()), images)
    try:
        with evaluating(module):
            maps = _first(module(images.to(like)))
    except RuntimeError as error:
        raise ModelError(f"The segmentation model fails on {tuple(images.shape)} ({error}); {_WANTED}.") from error
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != len(images):
        shape = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ModelError(f"The segmentation model returns {shape}; {_WANTED}.")
    large = functional.interpolate(maps.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
    masks = large[:, 0] > 0 if large.shape[1] == 1 else large[:, 1:].amax(1) > large[:, 0]
    return masks.cpu()


def _first(returned: Any) -> Any:
    """What counts of what a segmentation model returns."""
    if isinstance(returned, dict):
        return returned.get("out")
    return returned[0] if isinstance(returned, list | tuple) and returned else returned
