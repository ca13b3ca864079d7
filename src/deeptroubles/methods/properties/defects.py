"""Defects of images, independent of what they show: blur, exposure, size, shape, missing color."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import blur_effect

from deeptroubles.display import Brief
from deeptroubles.methods.properties.image_properties import LUMA

MAX_SIDE = 256
"""Images are shrunk until no side is longer than this (never enlarged), so all are measured on one scale."""
DARK, BRIGHT = 0.25, 0.75
"""Too dark: 99% of the pixels are below the first; too bright: 99% are above the second (luma)."""
BLANK, FAINT = 0.03, 0.15
"""Nearly blank, or of low contrast: no channel spans more between its 1st and 99th percentile."""
BLUR, EDGES = 0.65, 0.15
"""Blurred: the blur measure exceeds the first, and less than 1% of the steps from pixel to pixel reach the second times
the range of the luma."""
MIN_SIDE = 32
"""Blur is not measured if a side is shorter than this: such an image has too few edges."""
SIZE, SHAPE, LONG = 10.0, 2.0, 3.0
"""Odd size: SIZE times more or fewer pixels than the median. Odd shape: one side LONG times as long as the other,
and an aspect ratio that differs by the factor SHAPE from the median."""
GRAYSCALE, RARE = 0.02, 0.1
"""Grayscale: the channels of 99% of the pixels differ by at most the first; a defect if under a tenth of images are."""

DEFECTS = ("nearly blank", "too dark", "too bright", "low contrast", "blurred", "odd size", "odd shape", "grayscale")


@dataclass(frozen=True, repr=False)
class PictureFacts(Brief):
    """The measurements that defects are found by, one number per image (N each).

    Attributes:
        low: 1st percentile of the luma, in [0, 1].
        high: 99th percentile of the luma.
        span: 99th minus 1st percentile of red, green or blue: the largest of the three.
        blur: From 0 (sharp) to 1 (blurred); 0 where it is not measured.
        edge: 99th percentile of the steps in luma from pixel to pixel.
        chroma: 99th percentile of the largest minus the smallest channel.
        width: In pixels, as stored.
        height: Likewise.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    span: NDArray[np.float64]
    blur: NDArray[np.float64]
    edge: NDArray[np.float64]
    chroma: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]


def picture_facts(image: Image.Image) -> dict[str, float]:
    """The measurements of one image, by the names of `PictureFacts`.

    References:
        F. Crete et al.: The blur effect: perception and estimation with a new no-reference perceptual blur metric,
        SPIE 2007 (as in scikit-image).
    """
    small = image.convert("RGB")
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    rgb = np.asarray(small, dtype=np.float32) / 255
    luma = rgb @ LUMA
    low, high = np.percentile(luma, (1, 99))
    span = float(np.ptp(np.percentile(rgb, (1, 99), axis=(0, 1)), axis=0).max())
    edge = blur = 0.0
    if min(luma.shape) > 1:
        steps = np.maximum(np.abs(np.diff(luma, axis=0))[:, 1:], np.abs(np.diff(luma, axis=1))[1:])
        edge = float(np.percentile(steps, 99))
    if min(luma.shape) >= MIN_SIDE and high - low > BLANK:
        blur = float(blur_effect(luma))  # type: ignore[no-untyped-call]
    chroma = float(np.percentile(rgb.max(2) - rgb.min(2), 99))
    return {
        "low": float(low),
        "high": float(high),
        "span": span,
        "blur": blur,
        "edge": edge,
        "chroma": chroma,
        "width": float(image.width),
        "height": float(image.height),
    }


def find_defects(facts: PictureFacts) -> dict[str, NDArray[np.bool_]]:
    """Which of N images have which defect. Size, shape and missing color are relative to the other images.

    Returns:
        N booleans for each name of `DEFECTS`.
    """
    blank = facts.span <= BLANK
    dark, bright = ~blank & (facts.high < DARK), ~blank & (facts.low > BRIGHT)
    pixels, shape = np.log(facts.width * facts.height), np.log(facts.width / facts.height)
    grayscale = ~blank & (facts.chroma <= GRAYSCALE)
    found = (
        blank,
        dark,
        bright,
        ~(blank | dark | bright) & (facts.span < FAINT),
        ~blank & (facts.blur > BLUR) & (facts.edge < EDGES * (facts.high - facts.low)),
        np.abs(pixels - np.median(pixels)) > np.log(SIZE),
        (np.abs(shape) > np.log(LONG)) & (np.abs(shape - np.median(shape)) > np.log(SHAPE)),
        grayscale & (grayscale.mean() < RARE),
    )
    return dict(zip(DEFECTS, found, strict=True))
