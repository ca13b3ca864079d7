"""Traffic signs: drawn, and seen from many sides in front of photographs."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.transforms.shared.physical import Conditions, draw_views, place
from deeptroubles.planted.planting import Pixels
from deeptroubles.tour.shared.networks import network_on, photographs
from deeptroubles.tour.shared.workshop import Workshop

SIDE = 64
SIGNS = ("stop", "speed limit", "yield", "one way")
SEEN = Conditions(degrees=20, scale=(0.6, 1.0), shift=0.12, tilt=0.1, brightness=0.15, gain=(0.8, 1.2), blur=0.6)
"""How signs are seen: by a camera in a moving car."""
_FINE = 4
_RED, _WHITE, _BLACK, _BLUE = (178, 24, 32), (245, 245, 242), (24, 24, 24), (28, 84, 160)


def signs_network(workshop: Workshop) -> Classifier:
    """A small network that tells the signs apart."""
    count, epochs, seed = workshop.pick(400, 1600), workshop.pick(6, 10), workshop.seed
    return workshop.once(
        "signs", lambda: network_on(draw_signs(count, seed), "plain", seed, epochs=epochs, name="traffic signs")
    )


def draw_sign(name: str) -> tuple[Tensor, Tensor]:
    """A sign from the front: 3 x 64 x 64 in [0, 1], and where it is, 64 x 64."""
    side = SIDE * _FINE
    picture, mask = Image.new("RGB", (side, side)), Image.new("L", (side, side))
    draw, cover = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    middle, radius = side / 2, 0.44 * side
    corners = {"stop": 8, "speed limit": 90, "yield": 3, "one way": 90}[name]
    turned = {"stop": math.pi / 8, "yield": math.pi / 6}.get(name, 0.0)
    for scale, color in _RINGS[name]:
        outline = _polygon(middle, radius * scale, corners, turned)
        draw.polygon(outline, fill=color)
        if scale == 1:
            cover.polygon(outline, fill=255)
    if text := {"stop": "STOP", "speed limit": "45"}.get(name):
        size = int(side * (0.24 if name == "stop" else 0.4))
        color = _WHITE if name == "stop" else _BLACK
        draw.text(
            (middle, middle),
            text,
            fill=color,
            font=ImageFont.load_default(size),
            anchor="mm",
            stroke_width=3,
            stroke_fill=color,
        )
    if name == "one way":
        arrow = [(-0.5, -0.12), (0.1, -0.12), (0.1, -0.34), (0.6, 0), (0.1, 0.34), (0.1, 0.12), (-0.5, 0.12)]
        draw.polygon([(middle + radius * x, middle + radius * y) for x, y in arrow], fill=_WHITE)
    small = [
        np.asarray(each.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32) / 255 for each in (picture, mask)
    ]
    return torch.from_numpy(small[0]).permute(2, 0, 1), torch.from_numpy(small[1])


_RINGS = {
    "stop": ((1.0, _WHITE), (0.93, _RED)),
    "speed limit": ((1.0, _RED), (0.8, _WHITE)),
    "yield": ((1.0, _RED), (0.7, _WHITE)),
    "one way": ((1.0, _WHITE), (0.93, _BLUE)),
}


def _polygon(middle: float, radius: float, corners: int, turned: float) -> list[tuple[float, float]]:
    angles = [turned + 2 * math.pi * k / corners for k in range(corners)]
    return [(middle + radius * math.cos(a), middle + radius * math.sin(a)) for a in angles]


def draw_signs(count: int, seed: int) -> Pixels:
    """Signs of all kinds under random views, in front of crops of photographs."""
    classes, generator = torch.arange(count) % len(SIGNS), torch.Generator().manual_seed(seed)
    backgrounds = background(count, seed)
    images = torch.empty(count, 3, SIDE, SIDE)
    for index, name in enumerate(SIGNS):
        sign, mask = draw_sign(name)
        rows = (classes == index).nonzero()[:, 0]
        views = draw_views(len(rows), 3, (SIDE, SIDE), SEEN, generator)
        images[rows] = place(sign * mask, mask, backgrounds[rows], views)
    images = (images.clamp(0, 1) * 255).round() / 255
    return Pixels(images, classes, torch.zeros(count, SIDE, SIDE, dtype=torch.bool), torch.zeros_like(classes), SIGNS)


def background(count: int, seed: int) -> Tensor:
    """Crops of photographs, count x 3 x 64 x 64."""
    random, images = np.random.default_rng(seed), photographs()
    sources = [images[row].convert("RGB") for row, path in enumerate(images.table["path"]) if path in _SCENERY]
    crops = []
    for _ in range(count):
        picture = sources[int(random.integers(len(sources)))]
        side = int(random.integers(SIDE, min(picture.size) + 1))
        left, top = (int(random.integers(length - side + 1)) for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
        crops.append(torch.from_numpy(np.asarray(crop, dtype=np.float32) / 255).permute(2, 0, 1))
    return torch.stack(crops)


_SCENERY = ("china.jpg", "grass.png", "gravel.png", "flower.jpg", "rocket.jpg", "camera.png")
