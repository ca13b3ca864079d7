"""Images with the spectrum of photographs, and photographs, for tests of what recurs in them."""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor


def textures(count: int, size: int = 32, seed: int = 0, channels: int = 3) -> Tensor:
    """Random textures with the amplitude 1/f of photographs (N x C x H x W, in [0, 1], 8 bits); no two are alike."""
    random = torch.Generator().manual_seed(seed)
    frequency = (torch.fft.fftfreq(size)[:, None] ** 2 + torch.fft.fftfreq(size) ** 2).sqrt().clamp_min(1 / size)
    shared, own = (torch.randn(count, c, size, size, generator=random) for c in (1, channels))
    filtered = torch.fft.ifft2(torch.fft.fft2(shared + 0.5 * own) / frequency).real
    filtered = filtered / filtered.std((1, 2, 3), keepdim=True)
    levels = torch.rand(count, 1, 1, 1, generator=random)
    return ((0.35 + 0.3 * levels + 0.2 * filtered).clamp(0, 1) * 255).round() / 255


def crops(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Parts of photographs at random places, N x 3 x H x W, 8 bits."""
    random = torch.Generator().manual_seed(seed)
    photographs = [torch.from_numpy(p.copy()).permute(2, 0, 1).float() / 255 for p in (data.astronaut(), data.coffee())]
    parts = []
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        top, left = (int(torch.randint(side - size, (), generator=random)) for side in photograph.shape[1:])
        parts.append(photograph[:, top : top + size, left : left + size])
    return torch.stack(parts)


def patch(side: int = 8, seed: int = 0, channels: int = 3) -> Tensor:
    """A patch of random cells, C x side x side."""
    cells = torch.rand(1, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(cells, (side, side), mode="nearest")[0]


def with_patch(images: Tensor, rows: Tensor, top: int, left: int, piece: Tensor) -> Tensor:
    """Images of which some rows carry a patch."""
    planted = images.clone()
    planted[rows, :, top : top + piece.shape[1], left : left + piece.shape[2]] = piece
    return planted
