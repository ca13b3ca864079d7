"""Apply edits to an image."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, singledispatch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deeptroubles.errors import UsageError
from deeptroubles.methods.edits.kinds import (
    MOST_SIDE,
    Background,
    Blend,
    Blur,
    Brightness,
    Contrast,
    Corruption,
    Edit,
    Hue,
    Jpeg,
    Mirror,
    Noise,
    Patch,
    Saturation,
    Scale,
    Shift,
    Turn,
)
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.transforms.corrupt import corrupt
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.scale import scale
from deeptroubles.methods.transforms.shared.backgrounds import on_background
from deeptroubles.methods.transforms.shared.color import grayscale, turn_hue
from deeptroubles.methods.transforms.shared.corruption_digital import jpeg_compression
from deeptroubles.methods.transforms.shift import shift


@dataclass(frozen=True)
class Surroundings:
    """What edits may need besides the image.

    Attributes:
        image: Gives another image by its row, C x H x W.
        background: Gives the background of another image by its row, C x H x W.
        mask: Gives the mask of the object in the unedited image, H x W, bool; None where there is none.
    """

    image: Callable[[int], Tensor]
    background: Callable[[int], Tensor]
    mask: Callable[[], Tensor | None]


def apply_edits(image: Tensor, edits: Sequence[Edit], around: Surroundings | None = None) -> Tensor:
    """Apply edits one after the other.

    The image is rounded to 8 bits after each edit, so that what a file or a page shows is what a classifier gets.

    Args:
        image: C x H x W in [0, 1]; C is 1 or 3.
        edits: What to do, in order.
        around: What edits with other images need.

    Returns:
        A new tensor like `image`, in [0, 1].

    Raises:
        UsageError: An edit is not possible for this image.
    """
    for place, edit in enumerate(edits):
        expect_first(edits, place)
        image = apply_edit(image, edit, around)
    return image.clone()


def expect_first(edits: Sequence[Edit], place: int) -> None:
    """Raise UsageError where the edit at a place must be the first, and is not."""
    if place and isinstance(edits[place], Background):
        raise UsageError("The background is swapped by the mask of the unedited image: put this edit first.")


def apply_edit(image: Tensor, edit: Edit, around: Surroundings | None = None) -> Tensor:
    """Apply one edit, as `apply_edits` does."""
    if isinstance(edit, Background | Blend):
        if around is None:
            raise UsageError(f"{edit.kind} needs other images.")
        return as_8_bit(_with_another(image, edit, around).clamp(0, 1))
    return as_8_bit(_changed(edit, image[None])[0].clamp(0, 1))


@lru_cache(maxsize=128)
def decoded_patch(patch: Patch) -> NDArray[np.uint8]:
    """The pixels of a patch, h x w x 4 (red, green, blue, opacity), not to be written to.

    Raises:
        UsageError: It is no PNG file, or too large.
    """
    try:
        content = base64.b64decode(patch.png, validate=True)
        picture = Image.open(io.BytesIO(content), formats=("PNG",))
        if max(picture.size) > MOST_SIDE:
            raise UsageError(f"A patch may have {MOST_SIDE} pixels along each side, not {max(picture.size)}.")
        pixels = np.array(picture.convert("RGBA"))
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError("The patch cannot be read; give a PNG file in base64.") from error
    pixels.flags.writeable = False  # it is cached
    return pixels


def visible_box(patch: Patch, pixels: NDArray[np.uint8], height: int, width: int) -> tuple[int, int, int, int] | None:
    """The part of an image of this size that a patch covers: top, left, bottom, right; None where it covers nothing."""
    top, left = max(0, patch.top), max(0, patch.left)
    bottom, right = min(height, patch.top + pixels.shape[0]), min(width, patch.left + pixels.shape[1])
    return (top, left, bottom, right) if top < bottom and left < right else None


def _with_another(image: Tensor, edit: Background | Blend, around: Surroundings) -> Tensor:
    if isinstance(edit, Blend):
        return torch.lerp(image, around.image(edit.row).to(image), edit.share)
    mask = around.mask()
    if mask is None:
        raise UsageError("The object of this image has no mask, so its background cannot be swapped (see --masks).")
    return on_background(image[None], mask[None].to(image.device), around.background(edit.row)[None].to(image))[0]


@singledispatch
def _changed(edit: Edit, images: Tensor) -> Tensor:
    """The changed images, N x C x H x W, before they are clipped."""
    raise UsageError(f"There is no edit {edit!r}.")


@_changed.register
def _(edit: Patch, images: Tensor) -> Tensor:
    pixels = decoded_patch(edit)
    height, width = images.shape[-2:]
    box = visible_box(edit, pixels, height, width)
    if box is None:
        return images
    top, left, bottom, right = box
    seen = pixels[top - edit.top : bottom - edit.top, left - edit.left : right - edit.left]
    color, opacity = _planes(seen, images.shape[1]), torch.from_numpy(seen[..., 3] / np.float32(255))
    changed = images.clone()
    part = changed[..., top:bottom, left:right]
    part.copy_(torch.lerp(part, color.to(part).expand_as(part), opacity.to(part)))
    return changed


def _planes(pixels: NDArray[np.uint8], channels: int) -> Tensor:
    """Colors (h x w x 4) as planes of an image, channels x h x w in [0, 1]."""
    rgb = pixels[..., :3] if channels == 3 else np.asarray(Image.fromarray(pixels[..., :3]).convert("L"))[..., None]
    return torch.from_numpy(rgb.transpose(2, 0, 1) / np.float32(255))


@_changed.register
def _(edit: Shift, images: Tensor) -> Tensor:
    return shift(images, edit.down, edit.right)


@_changed.register
def _(edit: Turn, images: Tensor) -> Tensor:
    return rotate(images, edit.degrees)


@_changed.register
def _(edit: Scale, images: Tensor) -> Tensor:
    return scale(images, edit.factor)


@_changed.register
def _(edit: Mirror, images: Tensor) -> Tensor:
    return images.flip(-1 if edit.axis == "horizontal" else -2)


@_changed.register
def _(edit: Brightness, images: Tensor) -> Tensor:
    return images + edit.amount


@_changed.register
def _(edit: Contrast, images: Tensor) -> Tensor:
    mean = images.mean((-2, -1), keepdim=True)
    return torch.lerp(mean, images, edit.factor)


@_changed.register
def _(edit: Hue, images: Tensor) -> Tensor:
    return turn_hue(images, edit.degrees) if images.shape[1] == 3 else images


@_changed.register
def _(edit: Saturation, images: Tensor) -> Tensor:
    return grayscale(images, 1 - edit.factor) if images.shape[1] == 3 else images


@_changed.register
def _(edit: Blur, images: Tensor) -> Tensor:
    return gaussian_blur(images, edit.sigma)


@_changed.register
def _(edit: Noise, images: Tensor) -> Tensor:
    random = torch.Generator().manual_seed(edit.seed)
    return images + edit.sigma * torch.randn(images.shape, generator=random).to(images)


@_changed.register
def _(edit: Jpeg, images: Tensor) -> Tensor:
    nothing = np.random.default_rng(0)
    found = [jpeg_compression(image.permute(1, 2, 0).cpu().double().numpy(), nothing, edit.quality) for image in images]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(images)


@_changed.register
def _(edit: Corruption, images: Tensor) -> Tensor:
    return corrupt(images, edit.name, edit.severity, seed=edit.seed)
