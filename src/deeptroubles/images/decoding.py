"""From a file, bytes or an array to an 8-bit picture, grayscale or RGB, the right way up.

Whatever cannot become one is an `UnreadableImageError` that says why in a few plain words.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from deeptroubles.errors import UnreadableImageError
from deeptroubles.images.conversions import Conversion
from deeptroubles.images.depth import DeepImage, Extent, ValueRange, common_range
from deeptroubles.images.dicom import is_dicom, read_dicom

Stored = Path | bytes | NDArray[np.uint8]
"""An image as it is stored: a file, the bytes of a file, or pixels (H x W or H x W x 3)."""

MOST_PIXELS = 200_000_000
"""Images above this are unreadable: as RGB they take 600 MB, and twice that while they are converted."""

MOST_JPEG_PIXELS = 50_000_000
"""JPEGs above this are decoded at 1/2, 1/4 or 1/8 of their size, which is still far above what a classifier sees."""

Scaling = Callable[[int, int], tuple[int, int]]
"""The width and height to which a picture of a given width and height will be scaled."""

ENOUGH = 3
"""A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if the result is at least this many times the size it is scaled to.

Scaled further, it differs from one that was decoded whole by 0.5 of 255 levels on average, and by at most 7, in
pictures full of detail; in ordinary photographs by half of that. At 2 times it would be 1.1 and 16, at 4 times 0.4 and
5 (`benchmarks/decoding.py`). A reduction must divide both sides, so that the picture's frame stays the same.
"""

_IMAGE_NAME = re.compile(
    r".*\.(jpe?g|jpe|jfif|mpo|a?png|gif|bmp|dib|tiff?|webp|p[bgnp]m|tga|jp2|j2k|avifs?|hei[cf]s?|hif|dcm|dicom)",
    re.IGNORECASE | re.DOTALL,
)

# Pillow would also open PostScript (by running Ghostscript), video and scientific formats.
Image.init()
_FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF")
    if name in Image.OPEN
)

_HEAD = 132  # bytes that show the kind of a file
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ORIENTATION, _SAMPLE_FORMAT, _SIGNED = 0x0112, 339, 2  # tags of EXIF and TIFF
_GPS = 0x8825  # the EXIF directory of GPS tags, in which 1 to 4 are N or S, latitude, E or W, longitude
_pillow_limit = threading.Lock()


class _RefusedError(Exception):
    """An image that is not decoded, for the reason given."""


def is_image_name(name: str) -> bool:
    """Say whether a file is named like an image, also of a kind whose extra is not installed."""
    return _IMAGE_NAME.fullmatch(name) is not None


def is_image_file(path: Path) -> bool:
    """Say whether a file is an image by how it begins, whatever it is called."""
    try:
        with path.open("rb") as file, _own_limit():
            if _kind(file):
                return True
            Image.open(file, formats=tuple(kind for kind in _FORMATS if kind != "TGA"))  # which has no mark of its own
    except (OSError, ValueError, SyntaxError):
        return False
    return True


def decode(stored: Stored, name: str, common: ValueRange | None = None) -> Image.Image:
    """Decode one image.

    The first frame or page is taken and EXIF orientation is applied. Transparent pixels are laid on white. More than 8
    bits are scaled to 8. Color profiles are ignored, as classifiers' own loaders do.

    Args:
        stored: The image as it is stored.
        name: What to call it in errors.
        common: The values that are black and white, for images with more than 8 bits. Default: as `common_range` finds
            in this image alone.

    Returns:
        An 8-bit picture of mode L (grayscale) or RGB.

    Raises:
        UnreadableImageError: It cannot be decoded.
    """
    return decode_and_tell(stored, name, lambda: common)[0]


def decode_and_tell(
    stored: Stored,
    name: str,
    common: Callable[[], ValueRange | None],
    *,
    given: bool = False,
    scaling: Scaling | None = None,
) -> tuple[Image.Image, Conversion, int]:
    """Decode as `decode` does, and tell what was done to the image, and by what its sides were divided (mostly 1).

    Args:
        stored: The image as it is stored.
        name: What to call it in errors.
        common: Gives the range for images with more than 8 bits; called for these alone.
        given: Whether a person said the range, which then wins over the windows of files.
        scaling: How the picture will be scaled next, if it may be decoded at a reduced size for that; see `ENOUGH`.
    """
    if isinstance(stored, np.ndarray):
        return Image.fromarray(stored), Conversion(), 1
    try:
        with io.BytesIO(stored) if isinstance(stored, bytes) else stored.open("rb") as file:
            decoded, done, divisor = _decode_file(file, scaling)
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise UnreadableImageError(name, _reason(error)) from error
    if not isinstance(decoded, DeepImage):
        return decoded, done, divisor
    own = decoded.window if decoded.has_own_window and not given else None
    chosen = own or common() or common_range([decoded.extent])
    return Image.fromarray(decoded.shades(chosen)), done._replace(windowed=own is not None, deep=own is None), 1


def extent(stored: Stored) -> Extent | None:
    """What an image adds to the range of its set; None if it has 8 bits or a window of its own, or cannot be read."""
    if isinstance(stored, np.ndarray):
        return None
    try:
        with io.BytesIO(stored) if isinstance(stored, bytes) else stored.open("rb") as file:
            if _kind(file) != "DICOM":
                with _own_limit():
                    if not _is_deep(Image.open(file, formats=_FORMATS).mode):
                        return None
            file.seek(0)
            decoded, *_ = _decode_file(file)
    except Exception:  # noqa: BLE001 (that it cannot be read is told when it is asked for)
        return None
    return decoded.extent if isinstance(decoded, DeepImage) and not decoded.has_own_window else None


def file_facts(stored: Stored) -> tuple[str, int] | None:
    """The format (such as PNG; '' where it cannot be told) and the size in bytes of a stored image.

    None where pixels are stored, and not a file.
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


def _decode_file(file: BinaryIO, scaling: Scaling | None = None) -> tuple[Image.Image | DeepImage, Conversion, int]:
    if not file.read(1):
        raise _RefusedError("the file is empty")
    file.seek(0)
    kind = _kind(file)
    if kind == "DICOM":
        return *_decode_dicom(file), 1
    with _own_limit():
        image = Image.open(file, formats=_heif_formats() if kind == "HEIF" else _FORMATS)
    divisor = 1 if _fit(image) or scaling is None else _reduce(image, scaling)
    cut = image.mode in {"RGB", "RGBA"} and any(";16" in str(tile[3]) for tile in image.tile)
    image.load()
    upright, turned = _upright(image)
    if _is_deep(upright.mode) or _is_signed_byte(image):
        values = np.asarray(upright)
        values = values.view(np.int8) if values.dtype == np.uint8 else values
        return DeepImage(values, whole=upright.mode != "F"), Conversion(turned=turned), 1
    alpha = upright.convert("RGBA").getchannel("A") if upright.has_transparency_data else None
    transparent = alpha is not None and bool((np.asarray(alpha) < 255).any())
    return eight_bit(upright), Conversion(turned=turned, transparent=transparent, cut=cut), divisor


def _decode_dicom(file: BinaryIO) -> tuple[Image.Image | DeepImage, Conversion]:
    try:
        decoded = read_dicom(file)
    except ImportError:
        raise _RefusedError('it is DICOM; to read it, pip install "deeptroubles[dicom]"') from None
    return decoded.convert("RGB") if isinstance(decoded, Image.Image) else decoded, Conversion()


def _heif_formats() -> tuple[str, ...]:
    try:
        import pillow_heif  # noqa: PLC0415 (an extra)
    except ImportError:
        raise _RefusedError('it is HEIC; to read it, pip install "deeptroubles[heic]"') from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _kind(file: BinaryIO) -> str:
    """DICOM or HEIF, which extras read; '' for everything else. The position in the file stays."""
    head = file.read(_HEAD)
    file.seek(0)
    if is_dicom(head):
        return "DICOM"
    return "HEIF" if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS else ""


def _is_deep(mode: str) -> bool:
    return mode == "F" or mode.startswith("I")


def _is_signed_byte(image: Image.Image) -> bool:
    """Whether a TIFF has signed numbers of 8 bits, which Pillow reads as unsigned ones."""
    return image.mode == "L" and getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT) == (_SIGNED,)


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image as its EXIF orientation says, and whether it says anything."""
    with contextlib.suppress(Exception):  # broken EXIF does not make a picture unreadable
        turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
        return ImageOps.exif_transpose(image), turned
    return image, False


@contextlib.contextmanager
def _own_limit() -> Iterator[None]:
    """Lift Pillow's limit on pixels while a header is read; `_fit` sets ours before any pixel is decoded."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _fit(image: ImageFile.ImageFile) -> bool:
    """Have a large JPEG decoded at a reduced size; whether that was so. Refuses images that are too large."""
    width, height = image.size
    factor = math.ceil(math.sqrt(width * height / MOST_JPEG_PIXELS))
    if factor > 1 and not image.info.get("progressive"):  # a progressive JPEG fills the memory all the same
        factor = 2 ** math.ceil(math.log2(factor))
        image.draft(None, (width // factor, height // factor))  # for other formats this does nothing
    if image.width * image.height > MOST_PIXELS:
        limit = MOST_PIXELS // 1_000_000
        raise _RefusedError(f"{width} x {height} pixels is more than the limit of {limit} megapixels")
    return image.size != (width, height)


def _reduce(image: ImageFile.ImageFile, scaling: Scaling) -> int:
    """Have a JPEG decoded at a reduced size where that is ENOUGH for what follows; by what its sides are divided."""
    if image.format not in {"JPEG", "MPO"}:
        return 1
    width, height = image.size
    needed = scaling(width, height)
    with contextlib.suppress(Exception):  # broken EXIF does not make a picture unreadable
        if image.getexif().get(_ORIENTATION, 1) in range(5, 9):  # lying on its side
            needed = scaling(height, width)[::-1]
    for divisor in (8, 4, 2):
        reduced = (width // divisor, height // divisor)
        divides = (reduced[0] * divisor, reduced[1] * divisor) == image.size
        if divides and all(side >= ENOUGH * least for side, least in zip(reduced, needed, strict=True)):
            image.draft(None, reduced)
            return divisor
    return 1


def eight_bit(image: Image.Image) -> Image.Image:
    """A picture of any mode as L or RGB: transparency on white, more than 8 bits scaled by its own values."""
    if _is_deep(image.mode):
        deep = DeepImage(np.asarray(image), whole=image.mode != "F")
        return Image.fromarray(deep.shades(common_range([deep.extent])))
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
