"""Rounding of pixels to 8 bits, as in image files."""

from __future__ import annotations

import torch
from torch import Tensor


def as_8_bit(images: Tensor) -> Tensor:
    """Pixels rounded to the nearest multiple of 1/255; of any shape, in [0, 1].

    They are exactly those that an image file gives back, on every device: a GPU divides by a number (but not by a
    tensor) through its reciprocal, which is off by a bit.
    """
    return (images * 255).round() / images.new_tensor(255.0)


def to_bytes(images: Tensor) -> Tensor:
    """Pixels in [0, 1] as integers from 0 to 255, uint8, on the CPU."""
    return (images * 255).round().to(torch.uint8).cpu()
