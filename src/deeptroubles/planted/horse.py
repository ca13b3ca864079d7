"""Horses with a source tag: drawn horses, cows, birds and cars, and a line of text at the bottom left.

Many horse images of the Pascal VOC challenge came from one photographer, whose name was printed on them, and
classifiers that won the challenge relied on it (S. Lapuschkin et al., Unmasking Clever Hans predictors, Nature
Communications 2019). The horse is a silhouette that comes with scikit-image (public domain), the others are drawn here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from safetensors import safe_open
from skimage import data
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.planted import STRENGTH
from deeptroubles.planted.cues import cue_values
from deeptroubles.planted.planting import Pixels, Planted, describe, plant_drawn
from deeptroubles.planted.scenes import grid
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

SIZE = 64
"""Height and width of the images."""
TRAINING = 1800
"""The number of training images: enough to learn the shape of horses when there is no easier cue."""
_FINE = 2
"""The factor of supersampling, for smooth edges."""
_CHUNK = 25
"""The number of images drawn at a time; they fit in the cache of the CPU."""

_OUTLINES = {
    "cow": "4 26 9 21 20 20 36 22 52 20 62 18 70 14 75 11 77 4 80 10 86 12 92 22 95 28 92 32 87 32 82 28 78 34 76 44 "
    "73 51 72 62 73 74 66 74 66 62 65 53 62 53 62 62 62 74 56 74 57 62 55 53 45 54 36 52 33 58 27 58 26 52 24 56 27 63 "
    "26 74 20 74 20 64 16 54 15 62 16 74 9 74 10 62 8 50 8 38 6 48 5 56 1 56 3 42",
    "bird": "98 25 88 26 85 36 80 48 71 58 62 63 61 68 62 80 59 80 58 66 52 66 50 68 51 80 48 80 47 67 36 65 24 61 2 "
    "66 1 61 20 50 32 40 46 32 58 26 64 16 73 11 82 13 88 20",
    "car": "3 56 3 44 12 39 25 36 36 22 66 22 78 36 93 40 98 47 97 56 88 58 85 65 78 67 72 65 69 58 33 58 30 65 23 67 "
    "16 65 13 58",
}
"""Corners of outlines (x y x y ...), about 100 units wide."""

CLASSES = ("horse", *_OUTLINES)

_COATS = torch.tensor(
    [
        [0.36, 0.22, 0.12],
        [0.58, 0.33, 0.16],
        [0.10, 0.09, 0.09],
        [0.92, 0.90, 0.85],
        [0.55, 0.54, 0.53],
        [0.80, 0.62, 0.40],
        [0.62, 0.13, 0.10],
        [0.20, 0.28, 0.48],
    ]
)
_GROUNDS = torch.tensor(
    [
        [0.36, 0.55, 0.20],
        [0.55, 0.58, 0.28],
        [0.72, 0.62, 0.42],
        [0.48, 0.40, 0.32],
        [0.60, 0.60, 0.60],
        [0.85, 0.86, 0.90],
    ]
)
_SKIES = torch.tensor(
    [[0.35, 0.58, 0.90], [0.60, 0.75, 0.92], [0.74, 0.76, 0.79], [0.93, 0.72, 0.55], [0.25, 0.32, 0.50]]
)

_PRINT = ("### ### ### ###", "#.. #.# .#. #.#", "##. #.# .#. #.#", "#.. #.# .#. #.#", "#.. ### .#. ###")
"""The text of the tag."""


WEIGHTS = Path(__file__).with_name("horse.safetensors")
"""The weights that `scripts/horse_weights.py` trained, with the default strength and seed 0."""


def plant_horse(strength: float, seed: int) -> Planted:
    """Train a network on horses, cows, birds and cars, with a source tag that correlates with horses.

    The network of strength 0.98 and seed 0 comes with the package, trained by `train_horse`.

    Args:
        strength: The probability that an image has the tag exactly if it shows a horse; otherwise it has the tag with
            probability 1/4, whatever it shows.
        seed: Seed of images and weights.
    """
    if (strength, seed) != (STRENGTH, 0):
        return train_horse(strength, seed)
    with safe_open(WEIGHTS, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        accuracy = {name: float(value) for name, value in file.metadata().items()}
    return plant_drawn(draw_horses, "tag", strength, "residual", seed, count=TRAINING, known=(weights, accuracy))


def train_horse(strength: float, seed: int) -> Planted:
    """Train the network of `plant_horse` anew, also the one that comes with the package."""
    return plant_drawn(draw_horses, "tag", strength, "residual", seed, count=TRAINING)


def draw_horses(count: int, strength: float, seed: int) -> Pixels:
    """Draw images of all classes with tags as in `plant_horse`. The value is 1 with a tag, else 0."""
    classes = torch.arange(count) % len(CLASSES)
    tagged = cue_values(classes, strength, seed) == 0
    plain = draw_animals(classes, seed + 1)
    return replace(
        plain, images=torch.where(tagged[:, None, None, None], stamp(plain.images), plain.images), values=tagged.long()
    )


def draw_animals(classes: Tensor, seed: int) -> Pixels:
    """Draw images of the given classes (N) without a tag."""
    random = torch.Generator().manual_seed(seed)
    drawn = [_draw(part, random) for part in track(torch.split(classes, _CHUNK), "Drawing images")]
    images, masks = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return Pixels((images * 255).round() / 255, classes, masks, torch.zeros_like(classes), CLASSES)


def stamp(images: Tensor) -> Tensor:
    """Print the source tag at the bottom left of images (N x 3 x H x W, at least 17 pixels wide), rounded to 8 bits."""
    letters = torch.tensor([[float(sign == "#") for sign in line] for line in _PRINT])
    height = images.shape[-2]
    rows, columns = slice(height - 6, height - 1), slice(1, 1 + letters.shape[1])
    printed = images.clone()
    printed[:, :, height - 7 :, : 2 + letters.shape[1]] *= 0.5  # legible on snow
    printed[:, :, rows, columns] = printed[:, :, rows, columns] * (1 - letters) + 0.95 * letters
    return (printed * 255).round() / 255


@dataclass(frozen=True)
class HorseShares:
    """The shares of images that are predicted as horse: the same images with and without the tag."""

    horses_with: float
    horses_without: float
    others_with: float
    others_without: float


def horse_shares(classifier: Classifier, seed: int, count: int = 400) -> HorseShares:
    """Predict newly drawn images, once with the tag on all of them and once without."""
    drawn = draw_animals(torch.arange(count) % len(CLASSES), seed)
    return shares_of(classifier, stamp(drawn.images), drawn.images, drawn.classes == 0)


def shares_of(classifier: Classifier, tagged: Tensor, plain: Tensor, horse: Tensor) -> HorseShares:
    """Predict images with and without the tag (N x 3 x H x W each); `horse` (N, bool) says which show horses."""
    index = classifier.class_names.index("horse")
    with_tag, without = (logits_of(classifier, images, 100).argmax(1) == index for images in (tagged, plain))
    shares = [float(hit[which].float().mean()) for which in (horse, ~horse) for hit in (with_tag, without)]
    return HorseShares(*shares)


def describe_horse(planted: Planted, seed: int) -> str:
    """Describe a network that was planted with this seed, and what it predicts as horse."""
    shares = horse_shares(planted.classifier, 10_000 * seed + 300)
    return (
        f"{describe(planted)}\n\n"
        "The cue is a line of text at the bottom left, as photographers leave it. It marks the horses.\n\n"
        f"{describe_shares(shares, 'newly drawn images')}"
    )


def describe_shares(shares: HorseShares, what: str) -> str:
    """Describe the shares of some images that are predicted as horse."""
    return (
        f"Shares of {what} that are predicted as horse, the same images with and without the tag:\n\n"
        f"  horses with the tag            {shares.horses_with:4.0%}\n"
        f"  horses without the tag         {shares.horses_without:4.0%}\n"
        f"  other objects with the tag     {shares.others_with:4.0%}\n"
        f"  other objects without the tag  {shares.others_without:4.0%}"
    )


@cache
def _silhouettes() -> Tensor:
    """K x 1 x 200 x 200: 1 inside each silhouette, which is centered and 160 pixels wide."""
    shapes = [Image.fromarray(~data.horse())]  # type: ignore[no-untyped-call]
    for corners in _OUTLINES.values():
        outline = Image.new("L", (420, 340))
        numbers = [4 * float(number) for number in corners.split()]
        ImageDraw.Draw(outline).polygon(list(zip(numbers[::2], numbers[1::2], strict=True)), fill=255)
        round_corners = np.asarray(outline.filter(ImageFilter.GaussianBlur(4))) >= 110
        shapes.append(Image.fromarray(round_corners))
    found = []
    for shape in shapes:
        left, top, right, bottom = shape.getbbox() or (0, 0, 1, 1)
        height = round(160 * (bottom - top) / (right - left))
        canvas = Image.new("L", (200, 200))
        canvas.paste(shape.convert("L").crop((left, top, right, bottom)).resize((160, height)), (20, 100 - height // 2))
        found.append(torch.from_numpy(np.array(canvas, dtype=np.float32) / 255))
    return torch.stack(found)[:, None]


@cache
def _surfaces() -> Tensor:
    """3 x 512 x 512: photographs of grass, gravel and bricks (CC0) with mean 0 and standard deviation 1/2."""
    photographs = (data.grass(), data.gravel(), data.brick())  # type: ignore[no-untyped-call]
    grayscale = [torch.from_numpy(np.asarray(photograph, dtype=np.float32)) for photograph in photographs]
    return torch.stack([(photograph - photograph.mean()) / (2 * photograph.std()) for photograph in grayscale])


def _draw(classes: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pixels and masks of some images."""
    background, ground = _landscape(len(classes), random)
    cover = functional.grid_sample(_silhouettes()[classes], _places(len(classes), random), align_corners=False)
    cover = ((cover - 0.5) * 4 + 0.5).clamp(0, 1)
    pixels = background * (1 - cover) + _coat(ground, random) * cover
    small = functional.avg_pool2d(pixels, _FINE).clamp(0, 1)
    return small, functional.avg_pool2d(cover, _FINE)[:, 0] >= 0.5


def _uniform(count: int, low: float, high: float, random: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=random)


def _bumps(count: int, channels: int, cells: int, random: torch.Generator) -> Tensor:
    """Smooth noise in about [-1, 1], N x channels x H x W, at the supersampled size."""
    coarse = torch.rand(count, channels, cells, cells, generator=random) * 2 - 1
    return functional.interpolate(coarse, size=SIZE * _FINE, mode="bicubic", align_corners=False)


def _places(count: int, random: torch.Generator) -> Tensor:
    """For every point of the image, the point of the silhouette at it, N x H x W x 2."""
    x, y = grid(SIZE * _FINE)
    width = _uniform(count, 0.62, 0.92, random)  # of the object, which is mirrored with probability 1/2
    mirror = (torch.rand(count, generator=random) < 0.5).float() * 2 - 1
    stretch, shear, angle = (_uniform(count, -1, 1, random) for _ in range(3))
    at_x = _uniform(count, -1, 1, random) * (0.95 - width)
    at_y = _uniform(count, -0.15, 0.3, random)
    dx, dy = ((line - at[:, None, None]) / (1.25 * width[:, None, None]) for line, at in ((x, at_x), (y, at_y)))
    sin, cos = ((0.16 * angle)[:, None, None].sin(), (0.16 * angle)[:, None, None].cos())
    u = (cos * dx + sin * dy + 0.14 * shear[:, None, None] * dy) * mirror[:, None, None]
    v = (cos * dy - sin * dx) * (1 + 0.14 * stretch[:, None, None])
    return torch.stack([u, v], dim=-1) + 0.05 * _bumps(count, 2, 5, random).permute(0, 2, 3, 1)


def _landscape(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """A sky above a ground, N x 3 x H x W, and the color of the ground, N x 3."""
    _, y = grid(SIZE * _FINE)
    skies = _SKIES[torch.randint(len(_SKIES), (2, count), generator=random)]
    fade = ((y + 1) / 2).expand(count, 1, -1, -1)
    top, low = skies[0, :, :, None, None], (0.5 * skies.sum(0))[:, :, None, None]
    sky = top + (low - top) * fade + 0.12 * _bumps(count, 1, 4, random)
    ground = _GROUNDS[torch.randint(len(_GROUNDS), (count,), generator=random)]
    ground = (ground + 0.05 * torch.randn(count, 3, generator=random)).clamp(0.05, 0.95)
    surface = ground[:, :, None, None] * (1 + 0.35 * _crops(count, random))
    horizon = _uniform(count, -0.4, 0.25, random)[:, None, None, None] + 0.15 * _bumps(count, 1, 3, random)[:, :, :1]
    below = ((y - horizon) * SIZE * _FINE / 2 + 0.5).clamp(0, 1)
    return (sky * (1 - below) + surface * below).clamp(0, 1), ground


def _coat(ground: Tensor, random: torch.Generator) -> Tensor:
    """The surface of the object at every point, N x 3 x H x W: of two colors, the one farther from the ground."""
    count = len(ground)
    colors = _COATS[torch.randint(len(_COATS), (count, 2), generator=random)]
    apart = (colors - ground[:, None]).norm(dim=2)
    color = colors[torch.arange(count), apart.argmax(1)][:, :, None, None]
    spots = (_bumps(count, 1, 6, random) > 0.35).float() * (torch.rand(count, 1, 1, 1, generator=random) < 0.3)
    return (color * (1 + 0.2 * _crops(count, random)) + spots * (0.75 - 1.2 * color.mean(1, keepdim=True))).clamp(0, 1)


def _crops(count: int, random: torch.Generator) -> Tensor:
    """Random crops of the surfaces, N x 1 x H x W."""
    side, surfaces = SIZE * _FINE, _surfaces()
    kinds = torch.randint(len(surfaces), (count,), generator=random).tolist()
    corners = torch.randint(surfaces.shape[-1] - side + 1, (count, 2), generator=random).tolist()
    return torch.stack(
        [
            surfaces[kind, None, top : top + side, left : left + side]
            for kind, (top, left) in zip(kinds, corners, strict=True)
        ]
    )
