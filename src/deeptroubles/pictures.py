"""Pictures for the evidence: arrays in, data URIs out."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeptroubles.findings import Picture

MEDIA = "data:image/webp;base64,"
"""How the `src` of a picture in memory begins."""


def as_data_uri(content: bytes, media: str) -> str:
    """The content of a file as a data URI, such as of the media type `image/png`."""
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def picture(pixels: NDArray[Any], alt: str, row: int | None = None) -> Picture:
    """Encode pixels as a WebP picture.

    Args:
        pixels: C x H x W (C is 1 or 3) in [0, 1], as a classifier takes them.
        alt: What the picture shows, for people who cannot see it.
        row: Row of the image that it shows, unchanged; None: it shows something else.
    """
    array = np.round(np.clip(np.asarray(pixels, dtype=np.float32), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array[..., :3])
    small = max(image.size) < 96
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=small, quality=82, method=4)
    src = as_data_uri(buffer.getvalue(), "image/webp")
    return Picture(src=src, alt=alt, width=image.width, height=image.height, row=None if row is None else int(row))


def sprite(cells: NDArray[Any], *, lossless: bool = False) -> bytes:
    """Pack pictures into one WebP file.

    Args:
        cells: rows x columns x C x h x w (C is 1 or 3) in [0, 1]; the file is rows * h by columns * w pixels.
        lossless: Keep every pixel's value.
    """
    rows, columns, channels, height, width = cells.shape
    array = np.round(np.clip(cells, 0, 1) * 255).astype(np.uint8).transpose(0, 3, 1, 4, 2)
    whole = array.reshape(rows * height, columns * width, channels)
    buffer = io.BytesIO()
    image = Image.fromarray(whole[..., 0] if channels == 1 else whole[..., :3])
    image.save(buffer, "WEBP", lossless=lossless or max(height, width) <= 32, quality=80, method=2)
    return buffer.getvalue()
