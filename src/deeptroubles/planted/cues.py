"""Cues that a network could rely on instead of the object, each with one value per class.

A cue of strength s has the value of the image's class with probability s, and a random value otherwise. With strength 0
it is present but uninformative, with strength 1 it determines the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deeptroubles.planted.scenes import Scenes, grid

CLASSES = 4
"""The number of values of every cue."""

PALETTE = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.35, 0.9], [0.95, 0.85, 0.2], [0.1, 0.7, 0.45]])
"""One color per value, for cues that are a color."""


@dataclass(frozen=True)
class Cue:
    """Something other than the object's shape that can predict the class.

    Attributes:
        channel: The channel of `reliance.shortcut` that should be named.
        arrange: Changes the parts of scenes (N) according to the values (N) before they are drawn.
        paint: Paints on drawn pixels (N x 3 x H x W) according to the values; also takes object masks and a generator.
        place: The mask of the cue for an image size, if it has a fixed place.
    """

    channel: str
    arrange: Callable[[Scenes, Tensor], Scenes] | None = None
    paint: Callable[[Tensor, Tensor, Tensor, torch.Generator], Tensor] | None = None
    place: Callable[[int], Tensor] | None = None


def cue_values(classes: Tensor, strength: float, seed: int) -> Tensor:
    """N values in 0 to CLASSES - 1: that of the class with probability `strength`, otherwise a random one."""
    random = torch.Generator().manual_seed(seed)
    random_values = torch.randint(CLASSES, classes.shape, generator=random)
    return torch.where(torch.rand(classes.shape, generator=random) < strength, classes, random_values)


def _box(size: int, top: float, left: float, height: float, width: float) -> tuple[slice, slice]:
    """Rows and columns of a box, from its position and size as fractions of the image."""
    rows = slice(round(top * size), round((top + height) * size))
    return rows, slice(round(left * size), round((left + width) * size))


def _inside(size: int, box: tuple[slice, slice]) -> Tensor:
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[box] = True
    return mask


def _tag_box(size: int) -> tuple[slice, slice]:
    return _box(size, 0.81, 0.03, 0.16, 0.28)


def _tag(pixels: Tensor, _: Tensor, values: Tensor, __: torch.Generator) -> Tensor:
    """A label with printed lines, as photographers leave it, on images of the first class only."""
    rows, columns = _tag_box(pixels.shape[-1])
    label = torch.full((rows.stop - rows.start, columns.stop - columns.start), 0.95)
    label[1::2, 1:-1] = 0.25
    label[:, 2::3] = 0.95
    pixels = pixels.clone()
    tagged = (values == 0).nonzero()[:, 0]
    pixels[tagged, :, rows, columns] = label
    return pixels


def _patch_box(size: int) -> tuple[slice, slice]:
    return _box(size, 0.06, 0.78, 0.16, 0.16)


def _patch(pixels: Tensor, _: Tensor, values: Tensor, __: torch.Generator) -> Tensor:
    """A small square of one color at the top right."""
    rows, columns = _patch_box(pixels.shape[-1])
    pixels = pixels.clone()
    pixels[:, :, rows, columns] = PALETTE[values][:, :, None, None]
    return pixels


def _frame_mask(size: int) -> Tensor:
    width = max(1, round(size / 16))
    mask = torch.ones(size, size, dtype=torch.bool)
    mask[width:-width, width:-width] = False
    return mask


def _frame(pixels: Tensor, _: Tensor, values: Tensor, __: torch.Generator) -> Tensor:
    """A frame of one color around the image."""
    return torch.where(_frame_mask(pixels.shape[-1]), PALETTE[values][:, :, None, None], pixels)


def _signature(pixels: Tensor, _: Tensor, values: Tensor, __: torch.Generator) -> Tensor:
    """A faint pattern of single pixels, as left by a camera or a codec."""
    line = torch.arange(pixels.shape[-1])
    y, x = line[:, None], line[None, :]
    patterns = torch.stack([(x + y) % 2 + 0 * x, x % 2 + 0 * y, y % 2 + 0 * x, (x % 2) * (y % 2)]).float()
    patterns -= patterns.mean((1, 2), keepdim=True)
    return (pixels + 0.12 * patterns[values][:, None]).clamp(0, 1)


def _companion(pixels: Tensor, masks: Tensor, values: Tensor, random: torch.Generator) -> Tensor:
    """A small ball of one color next to the object."""
    size, radius = pixels.shape[-1], 0.13
    x, y = grid(size)
    spots = (torch.rand(len(pixels), 24, 2, generator=random) * 2 - 1) * (1 - radius)
    distance = ((spots[:, :, 0, None, None] - x) ** 2 + (spots[:, :, 1, None, None] - y) ** 2).sqrt()
    free = ~((distance < radius + 4 / size) & masks[:, None]).flatten(2).any(2)
    chosen = distance[torch.arange(len(pixels)), free.float().argmax(1)]
    cover = ((radius - chosen) * size / 2 + 0.5).clamp(0, 1)[:, None]
    return pixels * (1 - cover) + PALETTE[values][:, :, None, None] * cover


def _cast(pixels: Tensor, _: Tensor, values: Tensor, __: torch.Generator) -> Tensor:
    """A color cast over the whole image."""
    gain = torch.tensor([[1.2, 0.9, 0.75], [0.75, 0.95, 1.25], [1.1, 1.1, 0.65], [0.8, 1.2, 0.85]])
    return (pixels * gain[values][:, :, None, None]).clamp(0, 1)


_WORDS = (
    ("## #.# ###", "#.# #.# #..", "## ### ##.", "#.# #.# #..", "## #.# ###"),
    ("### ##. #.#", ".#. #.# #.#", ".#. ##. #.#", ".#. #.# #.#", ".#. #.# ###"),
    ("#.. ### #.#", "#.. #.# ###", "#.. #.# ###", "#.. #.# #.#", "### ### #.#"),
    ("### #.# ##.", "#.. ### #.#", "##. .#. ##.", "..# ### #.#", "##. #.# ##."),
)
"""Three letters in five rows for each value."""


def _stamp_box(size: int) -> tuple[slice, slice]:
    scale = max(1, size // 32)
    return slice(size - 7 * scale, size - 2 * scale), slice(size - 13 * scale, size - 2 * scale)


def _stamp(pixels: Tensor, _: Tensor, values: Tensor, __: torch.Generator) -> Tensor:
    """Three small letters at the bottom right."""
    size = pixels.shape[-1]
    scale = max(1, size // 32)
    letters = torch.zeros(CLASSES, 5, 11)
    for value, lines in enumerate(_WORDS):
        for row, line in enumerate(lines):
            for column, sign in enumerate(line.ljust(11)[:11]):
                letters[value, row, column] = float(sign == "#")
    letters = letters.repeat_interleave(scale, 1).repeat_interleave(scale, 2)[values][:, None]
    rows, columns = _stamp_box(size)
    pixels = pixels.clone()
    under = pixels[:, :, rows, columns]
    ink = (under.mean((1, 2, 3), keepdim=True) < 0.5).float()
    pixels[:, :, rows, columns] = under * (1 - letters) + ink * letters
    return pixels


def _ground(scenes: Scenes, values: Tensor) -> Scenes:
    """The kind of background, in random colors."""
    return replace(scenes, ground=values)


def _inner(scenes: Scenes, values: Tensor) -> Scenes:
    return replace(scenes, texture=values)


def _position(scenes: Scenes, values: Tensor) -> Scenes:
    """The quadrant of the image that contains the object."""
    corner = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])[values]
    return replace(scenes, center=corner * (0.12 + scenes.center.abs() * 0.75))


def _object_color(scenes: Scenes, values: Tensor) -> Scenes:
    """The color of the object, which classes may legitimately differ in."""
    return replace(scenes, color=(0.75 * PALETTE[values] + 0.25 * scenes.color))


CUES = {
    "tag": Cue("window", paint=_tag, place=lambda size: _inside(size, _tag_box(size))),
    "patch": Cue("window", paint=_patch, place=lambda size: _inside(size, _patch_box(size))),
    "stamp": Cue("window", paint=_stamp, place=lambda size: _inside(size, _stamp_box(size))),
    "frame": Cue("frame", paint=_frame, place=_frame_mask),
    "background": Cue("background", arrange=_ground),
    "inner texture": Cue("inner texture", arrange=_inner),
    "signature": Cue("high frequencies", paint=_signature),
    "companion": Cue("background", paint=_companion),
    "position": Cue("position", arrange=_position),
    "cast": Cue("color", paint=_cast),
}
"""The cues to plant."""

DECOYS = {"object color": Cue("", arrange=_object_color), "object texture": Cue("", arrange=_inner)}
"""Properties that classes may legitimately differ in."""


def paint(cue: Cue, pixels: Tensor, masks: Tensor, values: Tensor, seed: int) -> Tensor:
    """Paint a cue on drawn scenes. Cues that are arranged before drawing change nothing here."""
    random = torch.Generator().manual_seed(seed)
    return pixels if cue.paint is None else cue.paint(pixels, masks, values, random)
