"""Find an overlay in images by template matching."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.methods.transforms.shared.overlay import Overlay

MAX_DIFFERENCE = 0.08
"""The largest root mean square difference of pixel values at which the overlay counts as present."""
OPAQUE = 0.9
"""Only pixels with at least this opacity are compared."""


def find_overlay(images: Tensor, overlay: Overlay) -> Tensor:
    """Find an overlay in images, at its own size and at any position.

    The squared difference to the overlay at every position is |image|² - 2 image * overlay + |overlay|². The first two
    terms are correlations, computed by Fourier transform.

    Returns:
        N x H x W, bool: the overlay's opaque pixels at its best position; all False where it is absent.
    """
    shape = (overlay.cover[0, 0] >= OPAQUE).to(images.device)
    found = torch.zeros(len(images), *shape.shape, dtype=torch.bool, device=images.device)
    if not shape.any():
        return found
    rows, columns = (shape.any(dim).nonzero()[:, 0] for dim in (1, 0))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    weights = shape[box].double()
    wanted = overlay.color[0].to(images).double()[:, box[0], box[1]] * weights
    pixels = images.double()
    squared = _slide(pixels.square().sum(1), weights) - 2 * sum(
        _slide(pixels[:, channel], wanted[channel]) for channel in range(pixels.shape[1])
    )
    mean = (squared + wanted.square().sum()) / (weights.sum() * pixels.shape[1])
    least, where = mean.flatten(1).min(1)
    for image in (least <= MAX_DIFFERENCE**2).nonzero()[:, 0].tolist():
        top, left = divmod(int(where[image]), mean.shape[2])
        found[image, top : top + weights.shape[0], left : left + weights.shape[1]] = weights > 0
    return found


def _slide(planes: Tensor, kernel: Tensor) -> Tensor:
    """Valid correlation of planes (N x H x W) with a kernel (h x w): N x (H - h + 1) x (W - w + 1)."""
    size = tuple(planes.shape[1:])
    spectrum = torch.fft.rfft2(planes) * torch.fft.rfft2(kernel, s=size).conj()
    sums: Tensor = torch.fft.irfft2(spectrum, s=size)
    return sums[:, : size[0] - kernel.shape[0] + 1, : size[1] - kernel.shape[1] + 1]
