"""Four shapes, each with a texture of its own, or with any texture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.planted.cues import PALETTE
from deeptroubles.planted.networks import residual, trained
from deeptroubles.planted.scenes import SHAPES, draw_parts, grid, render
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.transforms import silhouette

SIDE = 32
CLASSES = tuple(SHAPES)[:4]
_RADIUS = 0.6


@dataclass(frozen=True)
class Textured:
    """Scenes of N objects.

    Attributes:
        images: N x 3 x 32 x 32, in [0, 1].
        shapes: N, an index into CLASSES.
        textures: N, the class that the texture belongs to.
    """

    images: Tensor
    shapes: Tensor
    textures: Tensor


def textured(shapes: Tensor, textures: Tensor, seed: int) -> Textured:
    """Draw objects of these shapes with the textures of these classes (N each)."""
    random = torch.Generator().manual_seed(seed)
    scenes = draw_parts(shapes, SIDE, seed)
    large = torch.full((len(shapes),), _RADIUS)
    images, masks = render(replace(scenes, radius=large, center=scenes.center / 2, angle=scenes.angle / 2))
    filled = silhouette(masks, _patterns(textures, random), images)
    return Textured((filled * 255).round() / 255, shapes, textures)


def conflicts(count: int, seed: int) -> Textured:
    """Objects whose texture is that of another class, all pairs equally often."""
    shapes = torch.arange(count) % 4
    return textured(shapes, (shapes + 1 + torch.arange(count) // 4 % 3) % 4, seed)


def matching(count: int, seed: int) -> Textured:
    """Objects with the texture of their class."""
    shapes = torch.arange(count) % 4
    return textured(shapes, shapes, seed)


def mixed(count: int, seed: int) -> Textured:
    """Objects with the texture of any class."""
    random = torch.Generator().manual_seed(seed + 1)
    return textured(torch.arange(count) % 4, torch.randint(4, (count,), generator=random), seed)


def texture_network(workshop: Workshop, *, stylized: bool) -> Classifier:
    """A network trained on objects with the texture of their class, or (stylized) of any class."""
    return workshop.once(f"textures, {stylized}", lambda: _trained(workshop, stylized=stylized))


def _trained(workshop: Workshop, *, stylized: bool) -> Classifier:
    shown = (mixed if stylized else matching)(1200, workshop.seed)
    network = trained(residual, shown.images, shown.shapes, workshop.seed, epochs=6)
    name = "trained on stylized scenes" if stylized else "trained on plain scenes"
    return Classifier(network, size=SIDE, mean=[0.5] * 3, std=[0.5] * 3, class_names=CLASSES, name=name)


def _patterns(kind: Tensor, random: torch.Generator) -> Tensor:
    """Red stripes, a blue board, yellow dots or green grain, turned at random: N x 3 x 32 x 32."""
    n = len(kind)
    x, y = grid(SIDE)
    turn, phase = (torch.rand(n, 1, 1, generator=random) * 2 * torch.pi for _ in range(2))
    waves = ((turn.cos() * x + turn.sin() * y) * 20 + phase).sin()
    other = ((turn.cos() * y - turn.sin() * x) * 20 + phase).sin()
    grain = torch.rand(n, SIDE, SIDE, generator=random) * 2 - 1
    fields = torch.stack([waves.sign(), (waves * other).sign(), (waves * other - 0.3).sign(), grain.sign()])
    chosen = fields[kind, torch.arange(n)][:, None] * 0.5 + 0.5
    second = torch.rand(n, 3, 1, 1, generator=random)
    return PALETTE[kind][:, :, None, None] * (1 - chosen) + second * chosen
