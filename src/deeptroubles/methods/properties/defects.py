"""What is wrong with a picture as a picture, whatever it shows: blur, exposure, size, shape, lost colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import blur_effect

from deeptroubles.methods.properties.image_properties import LUMA

LOOKED_AT = 256
"""Pictures are shrunk until no side is longer than this (never enlarged), so that all are measured on one scale."""
DARK, BRIGHT = 0.25, 0.75
"""Too dark: 99 % of the pixels are below the first; too bright: 99 % are above the second (luma)."""
BLANK, FAINT = 0.03, 0.15
"""Nearly blank, or of low contrast: no channel spans more between its 1st and its 99th percentile."""
BLUR, EDGES = 0.65, 0.15
"""Blurred: blur of more than the first, and not even 1 % of the steps from pixel to pixel are as large as this part of
the picture's whole range of luma."""
TINY = 32
"""Blur is not looked for where a side is shorter than this: such a picture has too few edges to tell."""
SIZE, SHAPE, LONG = 10.0, 2.0, 3.0
"""Odd size: so many times more or fewer pixels than the median picture. Odd shape: a side LONG times as long as
the other, and a proportion that differs by the factor SHAPE from the median's."""
GREY, FEW_GREY = 0.02, 0.1
"""Grey: 99 % of the pixels have channels no further apart than this; counted where fewer than a tenth are grey."""

DEFECTS = ("nearly blank", "too dark", "too bright", "low contrast", "blurred", "odd size", "odd shape", "grey")


@dataclass(frozen=True)
class PictureFacts:
    """What defects are told by, one number per picture (N each).

    Attributes:
        low: 1st percentile of the luma, in [0, 1].
        high: 99th percentile of the luma.
        spread: 99th minus 1st percentile of red, green or blue: the largest of the three.
        blur: From 0 (sharp) to 1 (blurred); 0 where it is not looked for.
        edge: 99th percentile of the steps in luma from pixel to pixel.
        chroma: 99th percentile of the largest minus the smallest channel.
        width: In pixels, as stored.
        height: Likewise.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    spread: NDArray[np.float64]
    blur: NDArray[np.float64]
    edge: NDArray[np.float64]
    chroma: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]


def picture_facts(image: Image.Image) -> dict[str, float]:
    """The facts of one picture, by the names of `PictureFacts`.

    References:
        F. Crete et al.: The blur effect: perception and estimation with a new no-reference perceptual blur metric,
        SPIE 2007 (as in scikit-image).
    """
    small = image.convert("RGB")
    small.thumbnail((LOOKED_AT, LOOKED_AT), Image.Resampling.LANCZOS)
    rgb = np.asarray(small, dtype=np.float32) / 255
    luma = rgb @ LUMA
    low, high = np.percentile(luma, (1, 99))
    spread = float(np.ptp(np.percentile(rgb, (1, 99), axis=(0, 1)), axis=0).max())
    edge = blur = 0.0
    if min(luma.shape) > 1:
        steps = np.maximum(np.abs(np.diff(luma, axis=0))[:, 1:], np.abs(np.diff(luma, axis=1))[1:])
        edge = float(np.percentile(steps, 99))
    if min(luma.shape) >= TINY and high - low > BLANK:
        blur = float(blur_effect(luma))  # type: ignore[no-untyped-call]
    chroma = float(np.percentile(rgb.max(2) - rgb.min(2), 99))
    return {
        "low": float(low),
        "high": float(high),
        "spread": spread,
        "blur": blur,
        "edge": edge,
        "chroma": chroma,
        "width": float(image.width),
        "height": float(image.height),
    }


def find_defects(facts: PictureFacts) -> dict[str, NDArray[np.bool_]]:
    """Which of N pictures have which defect. Size, shape and lost colour are judged against the other pictures.

    Returns:
        N booleans for each name of `DEFECTS`.
    """
    blank = facts.spread <= BLANK
    dark, bright = ~blank & (facts.high < DARK), ~blank & (facts.low > BRIGHT)
    pixels, shape = np.log(facts.width * facts.height), np.log(facts.width / facts.height)
    grey = ~blank & (facts.chroma <= GREY)
    found = (
        blank,
        dark,
        bright,
        ~(blank | dark | bright) & (facts.spread < FAINT),
        ~blank & (facts.blur > BLUR) & (facts.edge < EDGES * (facts.high - facts.low)),
        np.abs(pixels - np.median(pixels)) > np.log(SIZE),
        (np.abs(shape) > np.log(LONG)) & (np.abs(shape - np.median(shape)) > np.log(SHAPE)),
        grey & (grey.mean() < FEW_GREY),
    )
    return dict(zip(DEFECTS, found, strict=True))
