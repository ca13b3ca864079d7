"""64-bit hashes that hardly change when an image is scaled, recompressed or brightened, and the search for pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from deeptroubles.methods.properties.image_properties import LUMA

SIDE = 32
"""Height and width of a thumbnail."""
BITS = 64
_ROWS = 2048
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    """An image of any size and shape as 32 x 32 x 3, uint8, without keeping its aspect ratio."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def perceptual_hash(thumbnails: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The perceptual hash (pHash) of thumbnails: which of the 8 x 8 lowest frequencies are above their median.

    Args:
        thumbnails: N x 32 x 32 x 3, in [0, 1].

    Returns:
        N x 64, bool. For an image of one color they depend on rounding.

    References:
        C. Zauner: Implementation and benchmarking of perceptual image hash functions, 2010 (DCT based hash).
    """
    luma = thumbnails.astype(np.float64) @ LUMA.astype(np.float64)
    lowest = dctn(luma, axes=(1, 2))[:, :8, :8].reshape(len(luma), BITS)
    return np.asarray(lowest > np.median(lowest, axis=1, keepdims=True))


def near_pairs(hashes: NDArray[np.bool_], radius: int, max_pairs: int) -> tuple[Pairs, int]:
    """All pairs of hashes that differ in few bits; if there are too many, those that differ least.

    Every pair is compared, in blocks: bits as -1 and 1 have the scalar product 64 - 2 x (number of different bits).

    Args:
        hashes: N x 64.
        radius: The most bits that may differ.
        max_pairs: The most pairs; the radius is reduced until they fit.

    Returns:
        Two arrays of indices (the first one is the smaller), and the radius that was used (-1: no pairs fit).
    """
    signs = np.where(hashes, 1, -1).astype(np.float32)
    counts = np.zeros(radius + 1, dtype=np.int64)
    for start in range(0, len(signs), _ROWS):
        counts += np.bincount(_distances(signs, start, radius)[2], minlength=radius + 1)
    used = int(np.searchsorted(np.cumsum(counts), max_pairs, side="right")) - 1
    parts = [_distances(signs, start, used) for start in range(0, len(signs), _ROWS)] if used >= 0 else []
    first, second = (np.concatenate([np.zeros(0, np.int64), *(part[k] for part in parts)]) for k in (0, 1))
    return (first, second), used


def _distances(signs: NDArray[np.float32], start: int, radius: int) -> tuple[NDArray[np.int64], ...]:
    """The pairs of rows from `start` on with any later row, and the number of bits in which they differ."""
    block = signs[start : start + _ROWS]
    close = block @ signs[start:].T >= BITS - 2 * radius
    first, second = np.nonzero(np.triu(close, 1))
    distance = (BITS - (block[first] * signs[start + second]).sum(1)) / 2
    return first + start, second + start, distance.astype(np.int64)
