"""Images for the evidence as they are stored: not scaled or cropped to the classifier's input."""

from __future__ import annotations

import numpy as np
from PIL import Image

from deeptroubles.findings import Picture
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording

_SIDE = 160


def stored_picture(recording: Recording, row: int, alt: str) -> Picture:
    """The image of a row, shrunk to at most 160 pixels a side."""
    image = recording.subject.images[row].convert("RGB")
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return picture(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255, alt, row)
