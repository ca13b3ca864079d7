"""DICOM, the format of radiology: stored values become physical ones, and the file says which are black and white.

The part of `decoding.py` that needs pydicom (the extra `dicom`).
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from deeptroubles.images.depth import DeepImage, ValueRange

_PREAMBLE = 128


def is_dicom(head: bytes) -> bool:
    """Say whether a file that begins with these bytes (132 or more) is DICOM."""
    return head[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def read_dicom(file: BinaryIO) -> Image.Image | DeepImage:
    """The first frame: a color picture, or values with the rescaling of the file applied and its first window.

    Raises:
        ImportError: pydicom, or what it needs to unpack this file, is not installed.
    """
    import pydicom  # noqa: PLC0415 (an extra)
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut  # noqa: PLC0415
    from pydicom.pixels.utils import pixel_array  # noqa: PLC0415

    data = pydicom.dcmread(file)
    stored = pixel_array(data, index=0)  # YBR becomes RGB
    kind = str(data.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        stored = apply_color_lut(stored, data)
    if stored.ndim == 3:
        return Image.fromarray(stored if stored.dtype == np.uint8 else (stored >> 8).astype(np.uint8))
    values = apply_modality_lut(stored, data)
    whole = bool(np.equal(np.mod(values, 1), 0).all())
    units = str(data.get("RescaleType", "")) == "HU" or data.get("Modality") == "CT"
    return DeepImage(values, whole, _window(data), comparable=units, inverted=kind == "MONOCHROME1")


def _window(data: Any) -> ValueRange | None:
    """The first window of a file, as part 3 of the standard defines it (C.11.2.1.2)."""
    center, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or width < 1:
        return None
    if data.get("VOILUTFunction", "LINEAR") == "LINEAR":
        return ValueRange(center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)
    return ValueRange(center - width / 2, center + width / 2)


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value[0]) if isinstance(value, list | tuple) or hasattr(value, "__getitem__") else float(value)
