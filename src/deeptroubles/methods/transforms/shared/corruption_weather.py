"""Weather, as in ImageNet-C. Images are H x W x C (C is 1 or 3) in [0, 1]; results can leave that range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import canny

from deeptroubles.methods.transforms.shared.color import LUMA
from deeptroubles.methods.transforms.shared.corruption_blur import enlarged, streak
from deeptroubles.methods.transforms.shared.corruption_digital import highest_and_lowest

Image = NDArray[np.float64]
FROST = np.array([0.48, 0.57, 0.64])
"""Mean color of the drawn frost: bluish, about as bright as the published photographs of frost."""
WATER, MUD = np.array([175, 238, 238]) / 255, np.array([63, 42, 20]) / 255


def brightness(image: Image, _: np.random.Generator, more: float) -> Image:
    """Raise the value (of hue, saturation and value) by `more`, up to 1."""
    if image.shape[2] == 1:
        return image + more
    value = highest_and_lowest(image)[0]
    raised = np.clip(value + more, 0, 1)
    # Hue and saturation stay: all colors grow by one factor, and black, which has neither, becomes gray.
    factor, black = raised / np.where(value > 0, value, 1), np.where(value > 0, 0, raised)
    return np.stack([image[..., i] * factor + black for i in range(3)], axis=-1)


def fog(image: Image, random: np.random.Generator, amount: float, decay: float) -> Image:
    """Add a plasma fractal, and scale the sum so that the highest value stays the same."""
    height, width = image.shape[:2]
    brightest = float(image.max())
    mist = plasma(1 << (max(height, width) - 1).bit_length(), decay, random)[:height, :width, None]
    return (image + amount * mist) * brightest / (brightest + amount)


def plasma(side: int, decay: float, random: np.random.Generator) -> Image:
    """Diamond-square heights in [0, 1] on a torus of `side` (a power of two) points; roughness falls by `decay`.

    As in the authors' code, the first displacements are uniform from -100 squared to 100 squared.
    """
    heights = np.zeros((side, side))
    step, rough = side, 100.0

    def middle(total: Image) -> Image:
        return total / 4 + rough * random.uniform(-rough, rough, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        below, right = _rolled(corners, -1), _rolled(corners.T, -1).T
        pairs = corners + below
        heights[half::step, half::step] = middle(pairs + _rolled(pairs.T, -1).T)
        squares = heights[half::step, half::step]
        above = squares + _rolled(squares, 1)
        heights[::step, half::step] = middle(above + corners + right)
        left = squares + _rolled(squares.T, 1).T
        heights[half::step, ::step] = middle(left + corners + below)
        step, rough = half, rough / decay
    heights -= heights.min()
    return heights / float(heights.max())


def _rolled(rows: Image, by: int) -> Image:
    """`np.roll(rows, by, axis=0)`, which takes five times as long on small arrays."""
    return np.concatenate([rows[-by:], rows[:-by]])


def frost(image: Image, random: np.random.Generator, keep: float, add: float) -> Image:
    """A weighted sum of the image and drawn frost. The published corruption uses photographs of frost."""
    height, width, channels = image.shape
    side = 1 << (max(height, width) - 1).bit_length()
    relief = sum(_ridges(side, degrees, random) for degrees in random.uniform(0, 180, 4))
    coarse, tint = plasma(side, 2.2, random), plasma(side, 2.5, random)
    light = (0.6 * _standard(np.asarray(relief)) + 0.6 * _standard(coarse))[:height, :width]
    warmth = _standard(tint)[:height, :width]
    planes = [color + 0.15 * light + 0.08 * warmth * share for color, share in zip(FROST, (1, 0, -0.5), strict=True)]
    ice = np.clip(np.stack(planes, axis=-1), 0, 1)
    return keep * image + add * _in_channels(ice, channels)


def _ridges(side: int, degrees: float, random: np.random.Generator) -> Image:
    """Fine ridges in mostly one direction, lit from the side."""
    rough = streak(random.normal(size=(side, side, 1)), max(2, side // 24), side / 40, degrees)[..., 0]
    height = -np.abs(ndimage.gaussian_filter(rough, side / 224, mode="wrap"))
    down, right = np.gradient(height)
    return np.asarray(down + right)


def _equalized(levels: NDArray[np.int64]) -> Image:
    """Histogram equalization of integers to [0, 255], the lowest at 0."""
    counts = np.bincount(levels.ravel()).cumsum()
    lowest = int(counts[levels.min()])
    return np.round(255 * (counts - lowest) / max(levels.size - lowest, 1))[levels]


def _in_channels(colors: Image, channels: int) -> Image:
    """Colors (... x 3) for color images, their luma (... x 1) for grayscale ones."""
    return colors if colors.shape[-1] == channels else np.asarray(colors @ np.array(LUMA)[:, None])


def _standard(values: Image) -> Image:
    return (values - float(values.mean())) / float(values.std())


def snow(  # noqa: PLR0917 (the settings of the published table, in its order)
    image: Image,
    random: np.random.Generator,
    mean: float,
    std: float,
    size: float,
    threshold: float,
    radius: int,
    sigma: float,
    keep: float,
) -> Image:
    """Enlarged noise above a threshold, with motion blur, on a whitened image."""
    flakes = enlarged(random.normal(mean, std, (*image.shape[:2], 1)), size)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    flakes = streak(flakes, radius, sigma, random.uniform(-135, -45))
    gray = _in_channels(image, 1)
    whitened = keep * image + (1 - keep) * np.maximum(image, gray * 1.5 + 0.5)
    return whitened + flakes + np.rot90(flakes, 2)


def spatter(
    image: Image,
    random: np.random.Generator,
    mean: float,
    std: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: int,
) -> Image:
    """Drops of water (low severities) or mud (high severities) on the lens."""
    liquid = ndimage.gaussian_filter(random.normal(mean, std, image.shape[:2]), sigma, mode="nearest")
    liquid = np.where(liquid < threshold, 0, liquid)
    color = _in_channels(MUD if mud else WATER, image.shape[2])
    if mud:
        cover = ndimage.gaussian_filter((liquid > threshold).astype(float), strength, mode="nearest")
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return np.asarray(image * (1 - cover) + color * cover)
    shine = liquid * _relief(liquid)
    return image + strength * (shine / max(float(shine.max()), 1e-12))[..., None] * color


def _relief(liquid: Image) -> Image:
    """Heights of the drops from the distance to their rims, lit from a corner, in [0, 255]."""
    rims = canny(  # type: ignore[no-untyped-call]
        np.floor(np.clip(liquid, 0, 1) * 255), sigma=0, low_threshold=50, high_threshold=150
    )
    distance = np.minimum(ndimage.distance_transform_edt(~rims), 20) if rims.any() else np.full(liquid.shape, 20.0)
    # The filter's running sums are off by about 1e-14, on either side of a whole number and also below 0.
    distance = np.floor(ndimage.uniform_filter(distance, 3, mode="mirror") + 1e-9)
    heights = _equalized(distance.astype(np.int64))
    light = np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])
    return ndimage.uniform_filter(np.clip(ndimage.correlate(heights, light, mode="mirror"), 0, 255), 3, mode="mirror")
