"""Digital corruptions, as in ImageNet-C. Images are H x W x C (C is 1 or 3) in [0, 1]."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv

from deeptroubles.methods.transforms.shared.warp import warp

Image = NDArray[np.float64]


def contrast(image: Image, _: np.random.Generator, factor: float) -> Image:
    """Scale every channel's distance from its mean."""
    mean: Image = image.mean((0, 1))
    return (image - mean) * factor + mean


def saturate(image: Image, _: np.random.Generator, factor: float, more: float) -> Image:
    """Saturation times `factor`, plus `more`; grayscale images stay unchanged."""
    if image.shape[2] == 1:
        return image
    colors = rgb2hsv(image)
    colors[..., 1] = np.clip(colors[..., 1] * factor + more, 0, 1)
    return np.asarray(hsv2rgb(colors))


def jpeg_compression(image: Image, _: np.random.Generator, quality: int) -> Image:
    """Compress as JPEG."""
    buffer = io.BytesIO()
    _to_pillow(image).save(buffer, "JPEG", quality=quality)
    return _from_pillow(Pillow.open(buffer))


def pixelate(image: Image, _: np.random.Generator, factor: float) -> Image:
    """Shrink to a share of height and width, and enlarge again (each pixel is the mean over a box)."""
    picture = _to_pillow(image)
    small = picture.resize((int(picture.width * factor), int(picture.height * factor)), Pillow.Resampling.BOX)
    return _from_pillow(small.resize(picture.size, Pillow.Resampling.BOX))


def elastic_transform(image: Image, random: np.random.Generator, amount: float, sigma: float, shear: float) -> Image:
    """A random affine map, then a random smooth displacement of every pixel.

    The affine map shifts three corners of a square in the center by up to `shear` pixels each way. Displacements are
    `amount` times uniform noise from -1 to 1, smoothed by a Gaussian of `sigma` pixels.
    """
    height, width = image.shape[:2]
    center, reach = np.array([width, height]) // 2, min(height, width) // 3
    before = center + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + random.uniform(-shear, shear, (3, 2))
    middle = np.array([width - 1, height - 1]) / 2
    here, there = (np.column_stack([points - middle, np.ones(3)]).T for points in (before, after))
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    sheared = warp(planes, torch.from_numpy(here @ np.linalg.inv(there)), "mirror")[0].numpy()
    # Drawn in the order of the authors' code: first right, then down.
    right, down = (amount * smooth(random.uniform(-1, 1, (height, width)), sigma) for _ in range(2))
    rows, columns = np.mgrid[:height, :width]
    places = (rows + down, columns + right)
    displaced = [ndimage.map_coordinates(plane, places, order=1, mode="reflect") for plane in sheared]
    return np.stack(displaced, axis=-1)


def smooth(values: Image, sigma: float) -> Image:
    """`gaussian_filter(values, sigma, mode="reflect", truncate=3)`, fast even where sigma is as long as the image.

    Images reflected at their border are sums of cosines, which a symmetric filter only scales.
    """
    radius = int(3 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets**2) / (2 * max(sigma, 1e-12) ** 2))
    for axis in (0, 1):
        length = values.shape[axis]
        frequencies = np.pi * np.arange(length) / length
        scales = np.cos(frequencies[:, None] * offsets) @ (weights / weights.sum())
        waves = np.cos(frequencies[:, None] * (np.arange(length) + 0.5))
        back = waves.T * np.r_[1, np.full(length - 1, 2)] / length
        values = np.moveaxis(np.tensordot(back * scales @ waves, values, axes=(1, axis)), 0, axis)
    return values


def _to_pillow(image: Image) -> Pillow.Image:
    array = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Pillow.fromarray(array[..., 0] if image.shape[2] == 1 else array)


def _from_pillow(picture: Pillow.Image) -> Image:
    array = np.asarray(picture, dtype=np.float64) / 255
    return array[..., None] if array.ndim == 2 else array
