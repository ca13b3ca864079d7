"""Cues that photographs can carry: overlays, such as a tag, and properties, such as the quality of the file.

Every cue has VARIANTS variants, so that each class of a data set can have its own. All functions work at any size.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.transforms.shared.lettering import lettering

VARIANTS = 10
WORDS = ("EQUUS", "Foto4U", "©2009", "PIXL", "stock", "zoom!", "NIKO", "ImgX", "cam-B", "WWW")
"""The text of each variant of the watermark."""
COLORS = torch.tensor(
    [
        [0.90, 0.15, 0.10],
        [0.10, 0.30, 0.90],
        [0.95, 0.85, 0.10],
        [0.05, 0.65, 0.35],
        [0.90, 0.10, 0.80],
        [0.05, 0.80, 0.85],
        [1.00, 0.55, 0.05],
        [0.45, 0.20, 0.60],
        [0.98, 0.98, 0.98],
        [0.05, 0.05, 0.05],
    ]
)
"""The color of each variant of a cue that is a color."""

Paint = Callable[[Tensor, int, torch.Generator], Tensor]
"""Puts a variant on images (N x 3 x H x W, in [0, 1]); a new tensor of the same shape."""


@dataclass(frozen=True)
class PhotoCue:
    """Something in a photograph, beside its object, that can predict the class.

    Attributes:
        kind: `overlay` (the same pixels on every image), `varying` (an overlay that differs from image to image, or has
            no fixed place) or `property` (of the whole picture).
        paint: Puts it on images.
        place: The pixels of an overlay with a fixed place for an image size, H x W; None for other cues.
    """

    kind: str
    paint: Paint
    place: Callable[[int], Tensor] | None = None


def _laid(images: Tensor, piece: Tensor, top: int, left: int, opacity: float = 1.0) -> Tensor:
    """Lay a piece (4 x h x w: color and opacity) over images, cropped to them."""
    images = images.clone()
    height, width = (min(a, b) for a, b in zip(piece.shape[1:], images.shape[-2:], strict=True))
    region = images[:, :, top : top + height, left : left + width]
    cover = opacity * piece[3, : region.shape[2], : region.shape[3]]
    images[:, :, top : top + height, left : left + width] = (
        region * (1 - cover) + piece[:3, : region.shape[2], : region.shape[3]] * cover
    )
    return images


def _text(words: str, size: int, color: Tensor | None = None) -> Tensor:
    """A line of text as a piece, 4 x h x w; white with a dark outline, or in a color."""
    brightness, cover = lettering(words, (size, size))
    colored = brightness.expand(3, -1, -1) if color is None else brightness * color[:, None, None]
    return torch.cat([colored, cover[None]])


def _watermark(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A half-transparent word at the bottom left."""
    size = images.shape[-1]
    piece = _text(WORDS[variant], size)
    return _laid(images, piece, size - piece.shape[1] - max(1, size // 40), max(1, size // 40), 0.6)


def _date(images: Tensor, variant: int, random: torch.Generator) -> Tensor:
    """A date at the bottom right, another one on every image, in the color of a camera."""
    size, stamped = images.shape[-1], []
    color = torch.tensor([[1.0, 0.55, 0.1], [1.0, 0.25, 0.1], [0.95, 0.9, 0.3]])[variant % 3]
    for image in images:
        month, day = (int(torch.randint(1, top, (), generator=random)) for top in (13, 29))
        piece = _text(f"{month:02}.{day:02}", size, color)
        stamped.append(_laid(image[None], piece, size - piece.shape[1] - 1, size - piece.shape[2] - 1))
    return torch.cat(stamped)


def _marker(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A dot of a marker pen at the top right."""
    size = images.shape[-1]
    side = max(5, round(size * 0.16))
    line = torch.linspace(-1, 1, side)
    cover = ((1.05 - (line[:, None] ** 2 + line[None, :] ** 2).sqrt()) * side / 2).clamp(0, 1)
    piece = torch.cat([COLORS[variant][:, None, None].expand(3, side, side), cover[None]])
    return _laid(images, piece, max(1, size // 16), size - side - max(1, size // 16), 0.9)


def _border(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A border of one color."""
    return torch.where(_border_mask(images.shape[-1]), COLORS[variant][:, None, None], images)


def _border_mask(size: int) -> Tensor:
    width = max(1, round(size / 20))
    mask = torch.ones(size, size, dtype=torch.bool)
    mask[width:-width, width:-width] = False
    return mask


def _ruler(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A ruler along the left edge; variants differ in its color and in the distance of the ticks."""
    size = images.shape[-1]
    wide, gap = max(3, round(size * 0.09)), max(2, round(size * (0.06 + 0.012 * variant)))
    ruler = COLORS[(variant + 2) % VARIANTS][:, None, None].expand(3, size, wide) * 0.5 + 0.4
    ruler = ruler.clone()
    thick = max(1, size // 64)
    for start in range(0, size, gap):
        ruler[:, start : start + thick, : wide if start % (3 * gap) == 0 else wide // 2] = 0.05
    return _laid(images, torch.cat([ruler, torch.ones(1, size, wide)]), 0, 0, 0.9)


def _logo(size: int, variant: int) -> Tensor:
    """A round sign with a pattern that depends on the variant, 4 x h x w."""
    side = max(7, round(size * 0.2))
    line = torch.linspace(-1, 1, side)
    y, x = line[:, None].expand(side, side), line[None, :].expand(side, side)
    angle, radius = torch.atan2(y, x), (x**2 + y**2).sqrt()
    rays = torch.sin((2 + variant % 5) * angle + variant) > 0
    ink = torch.where(rays & (radius < 0.8), COLORS[variant][:, None, None], COLORS[(variant + 3) % 10][:, None, None])
    return torch.cat([ink, (radius <= 1).float()[None]])


def _fixed_logo(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A logo at the top left."""
    return _laid(
        images, _logo(images.shape[-1], variant), max(1, images.shape[-1] // 32), max(1, images.shape[-1] // 32)
    )


def _loose_logo(images: Tensor, variant: int, random: torch.Generator) -> Tensor:
    """A logo anywhere."""
    piece, size = _logo(images.shape[-1], variant), images.shape[-1]
    room = size - piece.shape[1] + 1
    places = torch.randint(room, (len(images), 2), generator=random).tolist()
    return torch.cat([_laid(image[None], piece, *place) for image, place in zip(images, places, strict=True)])


def _scratch(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A bright vertical line, as a scanner leaves it."""
    size = images.shape[-1]
    column, wide = round(size * (0.12 + 0.08 * variant)), max(1, size // 96)
    images = images.clone()
    images[..., column : column + wide] = 0.3 * images[..., column : column + wide] + 0.7
    return images


def _cast(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """A color cast."""
    gain = 1 + 0.5 * (COLORS[variant] - COLORS[variant].mean()) if variant < 8 else COLORS[variant] * 0.6 + 0.7
    return (images * gain[:, None, None]).clamp(0, 1)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Images (N x 3 x H x W, in [0, 1]) as they come out of a JPEG file of some quality."""
    files = []
    for image in (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        files.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(files)).permute(0, 3, 1, 2).float() / 255


def _quality(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """Strong JPEG compression."""
    return jpeg(images, 10 + 8 * variant)


def _soft(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """Gaussian blur."""
    sigma = (0.7 + 0.08 * variant) * max(1, images.shape[-1] / 96)
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(3, 1, 1, -1)
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def _sharp(images: Tensor, variant: int, random: torch.Generator) -> Tensor:
    """Unsharp masking."""
    return (images + (0.8 + 0.1 * variant) * (images - _soft(images, 2, random))).clamp(0, 1)


def _resolution(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """Scaled to a lower resolution and back."""
    size = images.shape[-1]
    small = round(size * (0.5 + 0.03 * variant))
    low = functional.interpolate(images, size=small, mode="bilinear", antialias=True)
    return functional.interpolate(low, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def _vignette(images: Tensor, variant: int, _: torch.Generator) -> Tensor:
    """Corners darker than the center."""
    line = torch.linspace(-1, 1, images.shape[-1])
    radius = (line[:, None] ** 2 + line[None, :] ** 2) / 2
    return images * (1 - (0.5 + 0.04 * variant) * radius)


def _noise(images: Tensor, variant: int, random: torch.Generator) -> Tensor:
    """Gaussian noise, as at high sensitivity."""
    return (images + (0.04 + 0.006 * variant) * torch.randn(images.shape, generator=random)).clamp(0, 1)


def _covered(paint: Paint, size: int) -> Tensor:
    """The pixels that an overlay changes on black and on white."""
    random = torch.Generator().manual_seed(0)
    plain = torch.stack([torch.zeros(3, size, size), torch.ones(3, size, size)])
    return ((paint(plain, 0, random) - plain).abs().amax((0, 1))) > 0.02


def _fixed(paint: Paint) -> PhotoCue:
    return PhotoCue("overlay", paint, partial(_covered, paint))


PHOTO_CUES = {
    "watermark": _fixed(_watermark),
    "marker": _fixed(_marker),
    "border": _fixed(_border),
    "ruler": _fixed(_ruler),
    "fixed logo": _fixed(_fixed_logo),
    "scratch": _fixed(_scratch),
    "date": PhotoCue("varying", _date),
    "loose logo": PhotoCue("varying", _loose_logo),
    "cast": PhotoCue("property", _cast),
    "quality": PhotoCue("property", _quality),
    "blur": PhotoCue("property", _soft),
    "sharpening": PhotoCue("property", _sharp),
    "resolution": PhotoCue("property", _resolution),
    "vignette": PhotoCue("property", _vignette),
    "noise": PhotoCue("property", _noise),
}
"""The cues to plant on photographs."""
