"""From a file, bytes or an array to an 8-bit picture, grayscale or RGB, the right way up.

Whatever cannot become one is an `UnreadableImageError` that says why in a few plain words.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from deeptroubles.errors import UnreadableImageError

Stored = Path | bytes | NDArray[np.uint8]
"""An image as it is stored: a file, the bytes of a file, or pixels (H x W or H x W x 3)."""

MOST_PIXELS = 200_000_000
"""Images above this are unreadable: as RGB they take 600 MB, and twice that while they are converted."""

MOST_JPEG_PIXELS = 50_000_000
"""JPEGs above this are decoded at 1/2, 1/4 or 1/8 of their size, which is still far above what a classifier sees."""

_IMAGE_NAME = re.compile(
    r".*\.(jpe?g|jpe|jfif|mpo|a?png|gif|bmp|dib|tiff?|webp|p[bgnp]m|tga|jp2|j2k|avifs?|hei[cf])",
    re.IGNORECASE | re.DOTALL,
)

# Pillow would also open PostScript (by running Ghostscript), video and scientific formats.
Image.init()
_FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF")
    if name in Image.OPEN
)

_GPS = 0x8825  # the EXIF directory of GPS tags, in which 1 to 4 are N or S, latitude, E or W, longitude
_pillow_limit = threading.Lock()


class _RefusedError(Exception):
    """An image that is not decoded, for the reason given."""


def is_image_name(name: str) -> bool:
    """Say whether a file is named like an image. HEIC is, so that it is reported as unreadable and not passed over."""
    return _IMAGE_NAME.fullmatch(name) is not None


def decode(stored: Stored, name: str) -> Image.Image:
    """Decode one image.

    The first frame or page is taken and EXIF orientation is applied. Transparent pixels are laid on white. 16 bits are
    scaled to 8 over their whole range; 32-bit integers beyond 16 bits, and floats outside [0, 1], from their smallest
    value (black) to their largest (white). Color profiles are ignored, as classifiers' own loaders do.

    Args:
        stored: The image as it is stored.
        name: What to call it in errors.

    Returns:
        An 8-bit picture of mode L (grayscale) or RGB.

    Raises:
        UnreadableImageError: It cannot be decoded.
    """
    if isinstance(stored, np.ndarray):
        return Image.fromarray(stored)
    try:
        with io.BytesIO(stored) if isinstance(stored, bytes) else stored.open("rb") as file:
            return _decode_file(file)
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise UnreadableImageError(name, _reason(error)) from error


def file_facts(stored: Stored) -> tuple[str, int] | None:
    """The format (such as PNG; '' where it cannot be told) and the size in bytes of a stored image.

    None where it is no file but pixels.
    """
    if isinstance(stored, np.ndarray):
        return None
    size = len(stored) if isinstance(stored, bytes) else stored.stat().st_size
    try:
        with io.BytesIO(stored) if isinstance(stored, bytes) else stored.open("rb") as file, _own_limit():
            return str(Image.open(file, formats=_FORMATS).format), size
    except (OSError, ValueError, SyntaxError):
        return "", size


def gps_position(stored: Stored) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, as a camera wrote them into the file (EXIF); None where it did not."""
    if isinstance(stored, np.ndarray):
        return None
    try:
        with io.BytesIO(stored) if isinstance(stored, bytes) else stored.open("rb") as file, _own_limit():
            tags = Image.open(file, formats=_FORMATS).getexif().get_ifd(_GPS)
            latitude, longitude = (_degrees(tags[value], tags.get(side, "")) for side, value in ((1, 2), (3, 4)))
    except Exception:  # noqa: BLE001 (broken EXIF makes Pillow raise nearly anything)
        return None
    return (latitude, longitude) if math.isfinite(latitude + longitude) else None


def _degrees(parts: Any, side: Any) -> float:
    """Degrees, minutes and seconds (the latter two may be missing) as one number, negative in the south and west."""
    size: float = sum(float(part) / 60.0**i for i, part in enumerate(parts))
    text = side.decode("ascii", "ignore") if isinstance(side, bytes) else str(side)
    return -size if text.strip("\0 ").upper() in {"S", "W"} else size


def _decode_file(file: BinaryIO) -> Image.Image:
    if not file.read(1):
        raise _RefusedError("the file is empty")
    file.seek(0)
    with _own_limit():
        image = Image.open(file, formats=_FORMATS)
    _fit(image)
    image.load()
    upright: Image.Image = image
    with contextlib.suppress(Exception):  # broken EXIF does not make a picture unreadable
        upright = ImageOps.exif_transpose(image)
    return _eight_bit(upright)


@contextlib.contextmanager
def _own_limit() -> Iterator[None]:
    """Lift Pillow's limit on pixels while a header is read; `_fit` sets ours before any pixel is decoded."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _fit(image: ImageFile.ImageFile) -> None:
    width, height = image.size
    factor = math.ceil(math.sqrt(width * height / MOST_JPEG_PIXELS))
    if factor > 1 and not image.info.get("progressive"):  # a progressive JPEG fills the memory all the same
        factor = 2 ** math.ceil(math.log2(factor))
        image.draft(None, (width // factor, height // factor))  # for other formats this does nothing
    if image.width * image.height > MOST_PIXELS:
        limit = MOST_PIXELS // 1_000_000
        raise _RefusedError(f"{width} x {height} pixels is more than the limit of {limit} megapixels")


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled(image)
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB") or image
    mode = "L" if image.mode in {"1", "L", "LA", "La"} else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image.convert(mode)


def _scaled(image: Image.Image) -> Image.Image:
    """Scale integers of 16 or 32 bits, or floats, to 8 bits."""
    values = np.asarray(image).astype(np.float32)
    finite = np.isfinite(values)
    known = values[finite]
    low, high = 0.0, 1.0 if image.mode == "F" else 65535.0
    if known.size and (known.min() < low or known.max() > high):
        low, high = float(known.min()), float(known.max())
    shades = (np.where(finite, values, low) - low) * (255 / ((high - low) or 1))
    return Image.fromarray(np.rint(shades).astype(np.uint8))


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, _RefusedError):
        return text
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return "the file is cut short"
    plain = {
        FileNotFoundError: "there is no such file",
        NotADirectoryError: "there is no such file",
        IsADirectoryError: "it is a folder, not a file",
        PermissionError: "reading it is not permitted",
        UnidentifiedImageError: "it is not an image in a known format",
        MemoryError: "it does not fit into the memory",
    }
    return plain.get(type(error), f"it is damaged ({text[:100]})")
