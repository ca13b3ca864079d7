"""Rounding of pixels to 8 bits, as in image files."""

from __future__ import annotations

import torch
from torch import Tensor


def as_8_bit(images: Tensor) -> Tensor:
    """Pixels rounded to the nearest multiple of 1/255; of any shape, in [0, 1]."""
    return (images * 255).round() / 255


def to_bytes(images: Tensor) -> Tensor:
    """Pixels in [0, 1] as integers from 0 to 255, uint8, on the CPU."""
    return (images * 255).round().to(torch.uint8).cpu()
