"""Chihuahuas and muffins, drawn: three dark dots on something round and brown."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

SIDE = 112
NAMES = ("chihuahua", "muffin")
_FINE = 2


def draw_lookalikes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures (count x 3 x 112 x 112, in [0, 1]) and their classes, half of each."""
    random, classes = np.random.default_rng(seed), np.arange(count) % 2
    pictures = [_draw(bool(kind), random) for kind in classes]
    pixels = np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(classes)


def _draw(muffin: bool, random: np.random.Generator) -> Image.Image:  # noqa: FBT001 (one of two drawings)
    side = SIDE * _FINE
    paper = tuple(int(v) for v in random.integers(90, 235, 3))
    picture = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(picture)
    brown = np.array([205, 150, 90]) + random.integers(-25, 26, 3)
    color, dark = tuple(brown.tolist()), tuple((brown * 0.78).astype(int).tolist())
    middle, radius = (side * random.uniform(0.42, 0.58, 2)), side * random.uniform(0.28, 0.36)
    if muffin:
        _cup(draw, middle, radius, random)
    else:
        _ears(draw, middle, radius, dark, random)
    draw.ellipse(_box(middle, radius, 0.92), fill=color)
    spots = _berries(random) if muffin else _face(random)
    for x, y, size in spots:
        place = middle + radius * np.array([x, y])
        draw.ellipse(_box(place, radius * size, 1.0), fill=(38, 26, 30) if not muffin else (40, 30, 44))
        glint = place - radius * size * 0.35
        draw.ellipse(_box(glint, radius * size * 0.22, 1.0), fill=(225, 220, 225))
    noise = random.normal(0, 7, (side, side, 1))
    grainy = np.clip(np.asarray(picture, dtype=np.float64) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(grainy).filter(ImageFilter.GaussianBlur(1.2)).resize((SIDE, SIDE), Image.Resampling.BOX)


def _face(random: np.random.Generator) -> list[tuple[float, float, float]]:
    """Two eyes and a nose: place and size."""
    turn, apart = random.uniform(-0.35, 0.35), random.uniform(0.32, 0.42)
    points = [(-apart, -0.18, 0.13), (apart, -0.18, 0.13), (0.0, 0.28, 0.15)]
    return [(*_turned(x, y, turn), size) for x, y, size in points]


def _berries(random: np.random.Generator) -> list[tuple[float, float, float]]:
    """Three to five blueberries, often at the places of a face."""
    spots: list[tuple[float, float, float]] = []
    if random.random() < 0.75:  # the hard ones
        spots = [(x + random.normal(0, 0.07), y + random.normal(0, 0.07), s) for x, y, s in _face(random)]
    while len(spots) < int(random.integers(3, 5)):
        angle, far = random.uniform(0, 2 * math.pi), random.uniform(0.1, 0.7)
        spots.append((far * math.cos(angle), far * math.sin(angle), random.uniform(0.1, 0.16)))
    return spots


def _ears(
    draw: ImageDraw.ImageDraw, middle: np.ndarray, radius: float, color: tuple[int, ...], random: np.random.Generator
) -> None:
    """Two pointed ears; sometimes they lie flat and hardly show."""
    height = random.uniform(0.5, 0.9) if random.random() < 0.15 else random.uniform(-0.1, 0.1)
    for mirror in (-1, 1):
        corners = [(0.95, -0.25), (0.25, -0.85), (0.85, -0.75 - height)]
        draw.polygon([tuple(middle + radius * np.array([mirror * x, y])) for x, y in corners], fill=color)


def _cup(draw: ImageDraw.ImageDraw, middle: np.ndarray, radius: float, random: np.random.Generator) -> None:
    """A paper cup below the muffin; sometimes it is seen from above, and there is none."""
    if random.random() < 0.8:
        return
    paper = tuple(int(v) for v in random.integers(150, 230, 3))
    corners = [(-0.8, 0.3), (0.8, 0.3), (0.6, 1.15), (-0.6, 1.15)]
    draw.polygon([tuple(middle + radius * np.array(corner)) for corner in corners], fill=paper)


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def _box(middle: np.ndarray, radius: float, flat: float) -> tuple[float, float, float, float]:
    x, y = middle
    return x - radius, y - radius * flat, x + radius, y + radius * flat
