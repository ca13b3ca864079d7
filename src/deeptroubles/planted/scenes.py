"""Draw scenes: one object, whose shape is its class, on a varied background, with an exact mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_FINE = 2
"""The factor of supersampling, for smooth edges."""


def _disc(u: Tensor, v: Tensor) -> Tensor:
    return 1 - (u**2 + v**2).sqrt()


def _square(u: Tensor, v: Tensor) -> Tensor:
    return 0.82 - torch.maximum(u.abs(), v.abs())


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    return torch.minimum(0.55 - v, v + 1 - 1.75 * u.abs()) * 0.8


def _cross(u: Tensor, v: Tensor) -> Tensor:
    bar = torch.minimum(0.32 - u.abs(), 1 - v.abs())
    return torch.maximum(bar, torch.minimum(0.32 - v.abs(), 1 - u.abs()))


def _ring(u: Tensor, v: Tensor) -> Tensor:
    return 0.27 - ((u**2 + v**2).sqrt() - 0.72).abs()


def _star(u: Tensor, v: Tensor) -> Tensor:
    angle = torch.atan2(v, u)
    return 0.62 + 0.36 * (5 * angle).cos() - (u**2 + v**2).sqrt()


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
    "star": _star,
}
"""The distance of the point (u, v) to the outline, positive inside; a shape fills about the unit disc."""

TEXTURES = ("plain", "stripes", "dots", "checks")
GROUNDS = ("clouds", "waves", "bricks", "slopes", "grain")


@dataclass(frozen=True)
class Scenes:
    """The parts of N scenes, any of which a cue can set.

    Attributes:
        classes: N, the index of the object's shape.
        size: Height and width in pixels.
        center: N x 2, the center (x, y) of the object, in [-1, 1].
        radius: N, in the same units.
        angle: N, the rotation of the object in radians.
        color: N x 3, the color of the object.
        texture: N, the index of its texture in TEXTURES.
        ground: N, the index of the kind of background in GROUNDS.
        ground_color: N x 2 x 3, the two colors of the background.
        seed: Seed of the noise in the backgrounds.
    """

    classes: Tensor
    size: int
    center: Tensor
    radius: Tensor
    angle: Tensor
    color: Tensor
    texture: Tensor
    ground: Tensor
    ground_color: Tensor
    seed: int


def draw_parts(classes: Tensor, size: int, seed: int) -> Scenes:
    """Choose positions and appearance of objects and backgrounds at random, independent of the class.

    Args:
        classes: N indices into SHAPES.
        size: Height and width, 32 to 96 pixels.
        seed: Seed of all random choices.
    """
    random = torch.Generator().manual_seed(seed)
    n = len(classes)
    ground_color = torch.rand(n, 2, 3, generator=random)
    ground_color[:, 1] = 0.5 * ground_color[:, 0] + 0.5 * ground_color[:, 1]
    radius = 0.34 + 0.16 * torch.rand(n, generator=random)
    return Scenes(
        classes=classes,
        size=size,
        center=(torch.rand(n, 2, generator=random) * 2 - 1) * (0.88 - radius)[:, None],
        radius=radius,
        angle=(torch.rand(n, generator=random) - 0.5) * 1.2,
        color=_distinct(ground_color.mean(1), random),
        texture=torch.randint(len(TEXTURES), (n,), generator=random),
        ground=torch.randint(len(GROUNDS), (n,), generator=random),
        ground_color=ground_color,
        seed=seed + 1,
    )


def render(scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Draw scenes.

    Returns:
        Pixels N x 3 x size x size in [0, 1], and object masks, N x size x size, bool.
    """
    x, y = grid(scenes.size * _FINE)
    inside = _inside(scenes, x, y)
    cover = (inside * scenes.size * _FINE / 2 + 0.5).clamp(0, 1)[:, None]
    pixels = _background(scenes, x, y) * (1 - cover) + _object(scenes, x, y) * cover
    small = functional.avg_pool2d(pixels, _FINE).clamp(0, 1)
    return small, functional.avg_pool2d(cover, _FINE)[:, 0] >= 0.5


def grid(size: int) -> tuple[Tensor, Tensor]:
    """The x and y of every pixel center in [-1, 1], size x size each."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def _inside(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    """The distance of each point to the outline of the object, positive inside, N x H x W."""
    u, v = _object_coordinates(scenes, x, y)
    inside = torch.empty_like(u)
    for index, shape in enumerate(SHAPES.values()):
        rows = scenes.classes == index
        inside[rows] = shape(u[rows], v[rows])
    return inside * scenes.radius[:, None, None]


def _object_coordinates(scenes: Scenes, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of every point in which the object is upright, at the origin and of radius 1."""
    dx = (x - scenes.center[:, 0, None, None]) / scenes.radius[:, None, None]
    dy = (y - scenes.center[:, 1, None, None]) / scenes.radius[:, None, None]
    sin, cos = scenes.angle.sin()[:, None, None], scenes.angle.cos()[:, None, None]
    return cos * dx + sin * dy, cos * dy - sin * dx


def _object(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    """The surface of the object at every point, N x 3 x H x W."""
    u, v = _object_coordinates(scenes, x, y)
    waves = 2.6 * torch.pi
    patterns: Sequence[Callable[[Tensor, Tensor], Tensor]] = (
        lambda u, _: torch.zeros_like(u),
        lambda u, _: (u * waves).sin().sign(),
        lambda u, v: ((u * waves).sin() * (v * waves).sin() > 0.35).float() * 2 - 1,
        lambda u, v: ((u * waves / 2).sin() * (v * waves / 2).sin()).sign(),
    )
    chosen = torch.empty_like(u)
    for index, pattern in enumerate(patterns):
        rows = scenes.texture == index
        chosen[rows] = pattern(u[rows], v[rows])
    return (scenes.color[:, :, None, None] * (1 + 0.3 * chosen[:, None])).clamp(0, 1)


def _background(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    """N x 3 x H x W: two colors, mixed in one of five ways."""
    random = torch.Generator().manual_seed(scenes.seed)
    n, size = len(scenes.classes), len(x)
    phase = torch.rand(n, 2, 1, 1, generator=random) * 2 * torch.pi
    mixing = torch.empty(n, size, size)
    for index, ground in enumerate((_clouds, _waves, _bricks, _slopes, _grain)):
        rows = scenes.ground == index
        angle = phase[rows, 0]
        mixing[rows] = ground(angle.cos() * x + angle.sin() * y, phase[rows, 1], random)
    chosen = mixing.clamp(0, 1)[:, None]
    first, second = scenes.ground_color[:, 0, :, None, None], scenes.ground_color[:, 1, :, None, None]
    return first + chosen * (second - first)


def _clouds(across: Tensor, _: Tensor, random: torch.Generator) -> Tensor:
    return 0.5 + 0.8 * _noise(across, 4, random) + 0.4 * _noise(across, 8, random)


def _waves(across: Tensor, start: Tensor, random: torch.Generator) -> Tensor:
    return 0.5 + 0.5 * (across * 9 + start + 3 * _noise(across, 4, random)).sin()


def _bricks(across: Tensor, start: Tensor, random: torch.Generator) -> Tensor:
    along = across.transpose(1, 2)
    return 0.5 + 0.4 * ((across * 8 + start).sin() * (along * 8).sin()).sign() + 0.2 * _noise(across, 4, random)


def _grain(across: Tensor, _: Tensor, random: torch.Generator) -> Tensor:
    return 0.5 + 0.7 * _noise(across, 32, random)


def _slopes(across: Tensor, _: Tensor, random: torch.Generator) -> Tensor:
    return 0.5 + 0.5 * across + 0.3 * _noise(across, 4, random)


def _noise(like: Tensor, cells: int, random: torch.Generator) -> Tensor:
    """Smooth noise in about [-1, 1], N x H x W, interpolated from a grid of `cells` x `cells`."""
    coarse = torch.rand(len(like), 1, cells, cells, generator=random) * 2 - 1
    return functional.interpolate(coarse, size=like.shape[-1], mode="bilinear", align_corners=False)[:, 0]


def _distinct(other: Tensor, random: torch.Generator, distance: float = 0.45) -> Tensor:
    """Random colors, N x 3, that differ from the given ones by at least `distance`."""
    color = torch.rand(len(other), 3, generator=random)
    while len(near := ((color - other).norm(dim=1) < distance).nonzero()[:, 0]):
        color[near] = torch.rand(len(near), 3, generator=random)
    return color
