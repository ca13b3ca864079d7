"""Colors taken away or exchanged, to any degree; shapes and textures stay."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are (ITU-R BT.601), as in the conversion of pictures to gray."""


def grayscale(images: Tensor, strength: float = 1.0) -> Tensor:
    """Mix images with their gray versions.

    Args:
        images: N x 3 x H x W in [0, 1].
        strength: Share of the gray version, 0 to 1.

    Returns:
        A new tensor like `images`.
    """
    luma = torch.tensor(LUMA, device=images.device, dtype=images.dtype)[:, None, None]
    return torch.lerp(images, (images * luma).sum(1, keepdim=True).expand_as(images), strength)


def shuffle_channels(images: Tensor, seed: int, strength: float = 1.0) -> Tensor:
    """Mix images with versions in which no color channel is where it was.

    Args:
        images: N x 3 x H x W in [0, 1].
        seed: Of the orders: for each image one of the two in which every channel moves.
        strength: Share of the shuffled version, 0 to 1.

    Returns:
        A new tensor like `images`.
    """
    shifts = torch.randint(1, 3, (len(images),), generator=torch.Generator().manual_seed(seed)).tolist()
    moved = torch.stack([image.roll(shift, 0) for image, shift in zip(images, shifts, strict=True)])
    return torch.lerp(images, moved, strength)
