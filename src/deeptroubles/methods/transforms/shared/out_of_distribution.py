"""Out-of-distribution images without meaning: noise, plain colors, gratings, shuffled pixels and patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deeptroubles.methods.eight_bits import as_8_bit

KINDS = ("uniform noise", "plain colors", "gratings", "shuffled pixels", "shuffled patches")
PATCHES = 7
"""Approximate number of shuffled patches along each side."""


def out_of_distribution_images(images: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """One out-of-distribution image of each of KINDS for every image (N x C x H x W in [0, 1]), with 8-bit values.

    Shuffled images are made from the images; the others have their size.
    """
    generator = torch.Generator().manual_seed(seed)
    count, channels, height, width = images.shape
    pixels = images.cpu()
    plain = torch.rand(count, channels, 1, 1, generator=generator).expand(-1, -1, height, width)
    order = torch.rand(count, height * width, generator=generator).argsort(1)
    shuffled = pixels.flatten(2).gather(2, order[:, None].expand(-1, channels, -1)).view_as(pixels)
    made = (
        torch.rand(pixels.shape, generator=generator),
        plain,
        _gratings(pixels, generator),
        shuffled,
        _shuffled_patches(pixels, generator),
    )
    eight_bits = [as_8_bit(each).to(images) for each in made]
    return dict(zip(KINDS, eight_bits, strict=True))


def _gratings(like: Tensor, generator: torch.Generator) -> Tensor:
    """Sine waves of random direction between two random colors, with 2 to width / 4 periods."""
    count, channels, height, width = like.shape
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    angle = torch.rand(count, 1, 1, generator=generator) * math.pi
    periods = 2 + torch.rand(count, 1, 1, generator=generator) * max(0.0, width / 4 - 2)
    wave = (torch.sin(2 * math.pi * periods * (angle.cos() * x + angle.sin() * y)) + 1) / 2
    low, high = (torch.rand(count, channels, 1, 1, generator=generator) for _ in range(2))
    return low + (high - low) * wave[:, None]


def _shuffled_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    """The patches of a regular grid in random order; the rest at the right and the bottom stays in place."""
    height, width = (max(1, side // PATCHES) for side in images.shape[2:])
    rows, columns = images.shape[2] // height, images.shape[3] // width
    inside = images[:, :, : rows * height, : columns * width]
    patches = inside.unfold(2, height, height).unfold(3, width, width).flatten(2, 3)
    order = torch.rand(len(images), rows * columns, generator=generator).argsort(1)
    mixed = torch.stack([patch[:, o] for patch, o in zip(patches, order, strict=True)])
    grid = mixed.view(len(images), -1, rows, columns, height, width).permute(0, 1, 2, 4, 3, 5)
    found = images.clone()
    found[:, :, : rows * height, : columns * width] = grid.reshape(inside.shape)
    return found
