"""The effect of training on stylized images, in small: shapes whose texture says the class, and any texture instead."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from deeptroubles.methods.transforms.silhouette import silhouette
from deeptroubles.planted.cues import PALETTE
from deeptroubles.planted.networks import residual, trained
from deeptroubles.planted.scenes import draw_parts, grid, render

SIZE, RADIUS, TRAINING, TESTED, EPOCHS = 32, 0.6, 1200, 400, 6


def patterns(kind: Tensor, random: torch.Generator) -> Tensor:
    """Textures N x 3 x 32 x 32 of four kinds: red stripes, a blue board, yellow dots, green grain, turned at random."""
    n = len(kind)
    x, y = grid(SIZE)
    turn, phase = (torch.rand(n, 1, 1, generator=random) * 2 * torch.pi for _ in range(2))
    waves = ((turn.cos() * x + turn.sin() * y) * 20 + phase).sin()
    other = ((turn.cos() * y - turn.sin() * x) * 20 + phase).sin()
    grain = torch.rand(n, SIZE, SIZE, generator=random) * 2 - 1
    fields = torch.stack([waves.sign(), (waves * other).sign(), (waves * other - 0.3).sign(), grain.sign()])
    chosen = fields[kind, torch.arange(n)][:, None] * 0.5 + 0.5
    other_color = torch.rand(n, 3, 1, 1, generator=random)
    return PALETTE[kind][:, :, None, None] * (1 - chosen) + other_color * chosen


def plain_and_stylized(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes whose objects have the texture of their class, the same with any texture, and their classes."""
    classes, random = torch.arange(count) % 4, torch.Generator().manual_seed(seed)
    scenes = draw_parts(classes, SIZE, seed)
    scenes = replace(scenes, radius=torch.full((count,), RADIUS), center=scenes.center / 2, angle=scenes.angle / 2)
    images, masks = render(scenes)
    anything = torch.randint(4, (count,), generator=random)
    plain, stylized = (silhouette(masks, patterns(kind, random), images) for kind in (classes, anything))
    return plain, stylized, classes


def accuracies() -> dict[str, tuple[float, float]]:
    """Accuracy on plain and on stylized scenes, of a network trained on plain ones and of one on stylized ones."""
    plain, stylized, classes = plain_and_stylized(TRAINING, 0)
    tested = plain_and_stylized(TESTED, 1)
    found = {}
    for name, shown in (("plain", plain), ("stylized", stylized)):
        network = trained(residual, shown, classes, 0, epochs=EPOCHS)
        with torch.no_grad():
            right = [float((network(2 * x - 1).argmax(1) == tested[2]).float().mean()) for x in tested[:2]]
        found[name] = (right[0], right[1])
    return found
