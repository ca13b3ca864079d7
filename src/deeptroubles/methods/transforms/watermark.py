"""A watermark as in ImageNet-W: six translucent Chinese characters across the center of the image."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

COVER = 0.5
"""Opacity of the characters."""
ACROSS = 36 / 224
"""Width of a character as a share of the image's width."""
STROKE = 0.055
"""Width of a stroke as a share of the character's width."""
_FINE = 4

_SHORT = (
    ((0.04, 0.24), (0.36, 0.24)),
    ((0.21, 0.06), (0.21, 0.90), (0.12, 0.84)),
    ((0.03, 0.62), (0.37, 0.50)),
    ((0.44, 0.16), (0.92, 0.16)),
    ((0.48, 0.29), (0.86, 0.29), (0.86, 0.50)),
    ((0.42, 0.395), (0.95, 0.395)),
    ((0.48, 0.50), (0.86, 0.50)),
    ((0.67, 0.05), (0.67, 0.90)),
    ((0.67, 0.68), (0.88, 0.68)),
    ((0.53, 0.60), (0.49, 0.78), (0.40, 0.94)),
    ((0.50, 0.76), (0.66, 0.90), (0.96, 0.92)),
)
_PATH = (
    ((0.30, 0.06), (0.08, 0.30)),
    ((0.33, 0.28), (0.05, 0.60)),
    ((0.22, 0.47), (0.22, 0.94)),
    ((0.42, 0.14), (0.86, 0.14), (0.66, 0.38), (0.40, 0.52)),
    ((0.56, 0.26), (0.76, 0.44), (0.96, 0.52)),
    ((0.46, 0.64), (0.90, 0.64)),
    ((0.68, 0.64), (0.68, 0.90)),
    ((0.40, 0.90), (0.96, 0.90)),
)
"""The strokes of 捷 and 径 (together: shortcut), as lines through (x, y) from 0 to 1, drawn for this project."""


def watermark(size: tuple[int, int]) -> Tensor:
    """Draw six white characters in a row.

    They have the published size, 36 of 224 pixels each, and are half transparent. Their strokes are drawn for this
    project, so the effect on a network that learned the published font may be smaller.

    Args:
        size: Height and width of the images.

    Returns:
        2 x height x width, in [0, 1]: brightness and opacity.

    References:
        Z. Li et al.: A Whac-A-Mole Dilemma: Shortcuts Come in Multiples Where Mitigating One Amplifies Others, CVPR
        2023, section 3 (ImageNet-W).
    """
    height, width = (side * _FINE for side in size)
    sheet = Image.new("L", (width, height))
    pen = ImageDraw.Draw(sheet)
    side = ACROSS * width
    left, top = (width - 6 * side) / 2, (height - side) / 2
    for number in range(6):
        for stroke in (_SHORT, _PATH)[number % 2]:
            points = [(left + (number + x) * side, top + y * side) for x, y in stroke]
            pen.line(points, fill=255, width=max(1, round(STROKE * side)), joint="curve")
    small = np.asarray(sheet.resize((size[1], size[0]), Image.Resampling.BOX), dtype=np.float32) / 255
    return torch.stack([torch.ones(size), COVER * torch.from_numpy(small)])
