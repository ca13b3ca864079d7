"""Blur, as in ImageNet-C. Images are H x W x C in [0, 1]."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, signal
from torch.nn import functional

Image = NDArray[np.float64]


def gaussian_blur(image: Image, _: np.random.Generator, sigma: float) -> Image:
    """Gaussian blur with a standard deviation of `sigma` pixels; the border is repeated."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")


def defocus_blur(image: Image, _: np.random.Generator, radius: float, alias_blur: float) -> Image:
    """The mean over a disk, like a lens out of focus; the image is reflected at its border."""
    kernel = disk(radius, alias_blur)
    half = len(kernel) // 2
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), mode="reflect")
    return np.asarray(signal.fftconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1)))


def disk(radius: float, alias_blur: float) -> Image:
    """A disk that sums to 1, its rim smoothed by a small Gaussian (3 x 3; 5 x 5 for radii above 8).

    As in the authors' code, the sum is slightly below 1 for radii of 8 and more, where the disk touches the kernel's
    rim.
    """
    reach, half = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    offsets = np.arange(-reach, reach + 1)
    inside = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(float)
    rim = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * alias_blur**2))
    inside /= float(inside.sum())
    for axis in (0, 1):
        inside = ndimage.correlate1d(inside, rim / rim.sum(), axis, mode="mirror")
    return inside


def glass_blur(image: Image, random: np.random.Generator, sigma: float, reach: int, rounds: int) -> Image:
    """Blur, replace pixels by nearby ones, and blur again.

    From the last row to the first, every pixel takes the current value at a random offset: less than `reach` pixels to
    the right and down, or up to `reach` to the left and up. (The authors' code means to exchange the two pixels, but
    copies one; so does this code.) Rows and columns closer than `reach` to the border do not change.
    """
    smooth = gaussian_blur(image, random, sigma)
    height, width = image.shape[:2]
    rows, columns = np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1)
    places = (rows[:, None] * width + columns).ravel()
    shown = np.arange(height * width)
    for _ in range(rounds):
        steps = random.integers(-reach, reach, (len(places), 2)) @ np.array([1, width])
        shown = shown[_taken_in_turn(height * width, places, steps)]
    shuffled = smooth.reshape(height * width, -1)[shown].reshape(image.shape)
    return gaussian_blur(shuffled, random, sigma)


def _taken_in_turn(count: int, places: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of `count` values each place holds after every one of `places`, from the last on, took the one a step away.

    A step ahead leads to a place that has already taken its value, hence to where that one leads; a step back leads to
    a value as it was at first.
    """
    ahead, source = np.zeros(count, dtype=bool), np.arange(count)
    ahead[places], source[places] = steps > 0, places + steps
    moving = np.flatnonzero(ahead)
    while len(moving):
        through = source[moving]
        # Twice as far in every round: where a step leads on, so does what it leads to.
        source[moving], ahead[moving] = source[through], ahead[through]
        moving = moving[ahead[moving]]
    return source


def motion_blur(image: Image, random: np.random.Generator, radius: int, sigma: float) -> Image:
    """Camera motion along a line, at a random angle between -45 and 45 degrees."""
    return streak(image, radius, sigma, random.uniform(-45, 45))


def streak(image: Image, radius: int, sigma: float, degrees: float) -> Image:
    """One-sided Gaussian of 2 radius + 1 taps along a line, as ImageMagick's motion blur; the border is repeated."""
    length = 2 * radius + 1
    weights = np.exp(-(np.arange(length) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    height, width = image.shape[:2]
    padded = np.pad(image, ((length, length), (length, length), (0, 0)), mode="edge")
    blurred, moved = np.zeros_like(image), np.empty_like(image)
    for i, weight in enumerate(weights):
        down, right = length + math.ceil(i * sin - 0.5), length + math.ceil(i * cos - 0.5)
        blurred += np.multiply(padded[down : down + height, right : right + width], weight, out=moved)
    return blurred


def zoom_blur(image: Image, _: np.random.Generator, end: float, step: float) -> Image:
    """The mean of the image and its versions enlarged by 1, 1 + step, ... below `end`."""
    factors = np.arange(1, end, step)
    return (image + sum(enlarged(image, factor) for factor in factors)) / (len(factors) + 1)


def enlarged(image: Image, factor: float) -> Image:
    """The center of the image, enlarged to its size (bilinear, corners aligned)."""
    height, width = image.shape[:2]
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - rows) // 2, (width - columns) // 2
    # Channels last, as they are in memory: twice as fast as planes. A first axis added later would hide that.
    middle = torch.from_numpy(image[None, top : top + rows, left : left + columns]).permute(0, 3, 1, 2)
    size = (round(rows * factor), round(columns * factor))
    large = functional.interpolate(middle, size=size, mode="bilinear", align_corners=True)[0].permute(1, 2, 0).numpy()
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return large[top : top + height, left : left + width]
