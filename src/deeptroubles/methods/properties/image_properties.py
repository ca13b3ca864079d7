"""Simple properties of an image of any size: light, color, sharpness, and the look of its frame and corners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating]

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""
_FRAME, _CORNER = 16, 6
"""The frame is a 16th of the shorter side wide, a corner a 6th of each side; at least one pixel."""

Property = Callable[[NDArray[Any]], NDArray[np.float64]]


def brightness(rgb: Floats) -> NDArray[np.float64]:
    """Mean luma, 0 (black) to 1 (white)."""
    return _numbers((rgb @ LUMA).mean())


def contrast(rgb: Floats) -> NDArray[np.float64]:
    """Standard deviation of the luma."""
    return _numbers((rgb @ LUMA).std())


def color(rgb: Floats) -> NDArray[np.float64]:
    """Mean color without brightness: red minus green, and blue minus the mean of both."""
    red, green, blue = rgb.mean((0, 1))
    return _numbers(red - green, blue - (red + green) / 2)


def saturation(rgb: Floats) -> NDArray[np.float64]:
    """Mean over pixels of (largest - smallest) channel / largest, 0 for grayscale."""
    largest = rgb.max(2)
    return _numbers(((largest - rgb.min(2)) / np.maximum(largest, 1e-6)).mean())


def sharpness(rgb: Floats) -> NDArray[np.float64]:
    """Logarithm of the variance of the Laplacian of the luma, of the image as it is stored.

    References:
        J. Pech-Pacheco et al.: Diatom autofocusing in brightfield microscopy, ICPR 2000.
    """
    return _numbers(np.log(ndimage.laplace(rgb @ LUMA, mode="nearest").var() + 1e-8))


def fine_detail(rgb: Floats) -> NDArray[np.float64]:
    """Logarithms of the mean absolute Haar coefficients of the finest level: vertical, horizontal and diagonal."""
    luma = rgb @ LUMA
    height, width = (side // 2 * 2 for side in luma.shape)
    if not height or not width:
        return _numbers(0, 0, 0)
    a, b, c, d = (luma[y:height:2, x:width:2] for y in (0, 1) for x in (0, 1))
    return _numbers(*(np.log(np.abs(x).mean() + 1e-4) for x in (a - b + c - d, a + b - c - d, a - b - c + d)))


def frame(rgb: Floats) -> NDArray[np.float64]:
    """Mean color of the outermost pixels, and their standard deviation (0: a frame of one color)."""
    wide = max(1, min(rgb.shape[:2]) // _FRAME)
    inside = np.ones(rgb.shape[:2], dtype=bool)
    inside[wide:-wide, wide:-wide] = False
    return _patch(rgb[inside])


def _corner(rows: int, columns: int) -> Property:
    """Mean color and standard deviation of a corner; rows and columns count from the start (0) or from the end (-1)."""

    def corner(rgb: Floats) -> NDArray[np.float64]:
        high, wide = (max(1, side // _CORNER) for side in rgb.shape[:2])
        y, x = (slice(-n, None) if end else slice(n) for n, end in ((high, rows), (wide, columns)))
        return _patch(rgb[y, x].reshape(-1, 3))

    return corner


PROPERTIES: dict[str, Property] = {
    "brightness": brightness,
    "contrast": contrast,
    "color": color,
    "saturation": saturation,
    "sharpness": sharpness,
    "fine detail": fine_detail,
    "frame": frame,
    "corner at the top left": _corner(0, 0),
    "corner at the top right": _corner(0, -1),
    "corner at the bottom left": _corner(-1, 0),
    "corner at the bottom right": _corner(-1, -1),
}
"""Functions from H x W x 3 in [0, 1] to one or several numbers."""
_PATCH = ("red", "green", "blue", "deviation")
PARTS: dict[str, tuple[str, ...]] = {
    "color": ("red minus green", "blue minus yellow"),
    "fine detail": ("vertical", "horizontal", "diagonal"),
    "frame": _PATCH,
} | {name: _PATCH for name in PROPERTIES if name.startswith("corner")}
"""The names of the numbers of each property that has several."""


def image_properties(picture: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """All properties of an image, including its width, height and aspect ratio.

    Args:
        picture: H x W (grayscale) or H x W x 3, uint8.

    Returns:
        One or several finite numbers by the name of the property; sizes in pixels.
    """
    height, width = picture.shape[:2]
    rgb = (picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)).astype(np.float32) / 255
    sizes = {"width": _numbers(width), "height": _numbers(height), "width / height": _numbers(width / height)}
    return {name: function(rgb) for name, function in PROPERTIES.items()} | sizes


def _patch(pixels: Floats) -> NDArray[np.float64]:
    return np.append(pixels.mean(0), pixels.std(0).mean()).astype(np.float64)


def _numbers(*values: float | np.floating) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)
