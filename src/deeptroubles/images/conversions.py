"""What was done to images so that a classifier can take them, counted and said in one note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from deeptroubles.images.depth import ValueRange


class Conversion(NamedTuple):
    """What was done to one image when it was decoded.

    Attributes:
        turned: Turned as its EXIF orientation says.
        transparent: Laid on white.
        deep: More than 8 bits, scaled to 8 in the range that the set shares.
        windowed: More than 8 bits, scaled to 8 in the window of its own file.
        cut: A color image of 16 bits, of which Pillow reads the upper 8.
    """

    turned: bool = False
    transparent: bool = False
    deep: bool = False
    windowed: bool = False
    cut: bool = False


def describe_conversions(
    done: Sequence[Conversion], scales: ArrayLike, common: ValueRange | None, *, given: bool = False
) -> str:
    """One note about all images; '' if nothing was done to any.

    Args:
        done: What was done to each of N images.
        scales: N, by which factor each was scaled.
        common: The range of the images with more than 8 bits.
        given: Whether a person said the range.
    """
    counts = Conversion(*np.array(done, dtype=int).reshape(-1, len(Conversion._fields)).sum(0).tolist())
    other = "" if given else "; say --range LOW:HIGH for another range"
    parts = [
        (counts.deep, f"more than 8 bits: {common}{other}"),
        (counts.windowed, f"more than 8 bits: shown in the window that each file gives{other}"),
        (counts.cut, "16 bits per color: the upper 8 were used"),
        (counts.transparent, "transparent pixels: laid on white"),
        (counts.turned, "an EXIF orientation: turned upright"),
    ]
    said = [f"{count} of {len(done)} images had {what}." for count, what in parts if count]
    if given and not counts.deep:
        said.append("The range of values was not used: no image has more than 8 bits.")
    return " ".join([*said, *_about_scales(np.asarray(scales, dtype=float))])


def _about_scales(scales: np.ndarray) -> list[str]:
    if not len(scales) or np.allclose(scales, 1):
        return []
    low, high, enlarged = scales.min(), scales.max(), int((scales > 1).sum())
    by = f"a factor of {low:.2g}" if np.isclose(low, high) else f"factors of {low:.2g} to {high:.2g}"
    were = "was" if enlarged == 1 else "were"
    larger = f"; {enlarged} of them {were} enlarged" if enlarged else ""
    return [f"The images were resized by {by}{larger}."]
