"""Random camera views of a picture: perspective, distance, rotation, light and blur; differentiable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.display import Brief
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.shared.warp import rotation, translation, warp


@dataclass(frozen=True)
class Conditions:
    """Bounds of the views, which are drawn uniformly.

    Attributes:
        degrees: Largest rotation, each way.
        scale: Smallest and largest factor of the size.
        shift: Largest shift as a share of height and width, each way.
        tilt: Perspective: the largest relative difference in distance between a side and the center; below 0.5.
        brightness: Largest value added to all pixels, each way.
        gain: Smallest and largest factor of each color channel.
        blur: Largest standard deviation of the Gaussian blur, in pixels.
    """

    degrees: float = 20
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 0.1
    tilt: float = 0.1
    brightness: float = 0.1
    gain: tuple[float, float] = (0.85, 1.15)
    blur: float = 0.7


@dataclass(frozen=True, repr=False)
class Views(Brief):
    """One view per image.

    Attributes:
        source: Maps from positions of the view to positions of the picture, as in `warp`, N x 3 x 3.
        brightness: N.
        gain: N x C.
        blur: N, in pixels.
    """

    source: Tensor
    brightness: Tensor
    gain: Tensor
    blur: Tensor


def draw_views(
    count: int, channels: int, size: tuple[int, int], conditions: Conditions, generator: torch.Generator
) -> Views:
    """Draw random views of images of a number of channels and a height and width."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low

    height, width = size
    tilts = uniform(-conditions.tilt, conditions.tilt, count, 2) / torch.tensor([width / 2, height / 2])
    degrees = uniform(-conditions.degrees, conditions.degrees, count)
    factors = uniform(*conditions.scale, count)
    shifts = uniform(-conditions.shift, conditions.shift, count, 2) * torch.tensor([height, width])
    source = torch.stack([_map(*values) for values in zip(tilts, degrees, factors, shifts, strict=True)])
    return Views(
        source=source,
        brightness=uniform(-conditions.brightness, conditions.brightness, count),
        gain=uniform(*conditions.gain, count, channels),
        blur=uniform(0, conditions.blur, count),
    )


def view_at(degrees: float, scale: float, count: int, channels: int) -> Views:
    """The same view for `count` images: rotated and scaled about the center, and nothing else."""
    still = torch.zeros(2, dtype=torch.float64)
    angle, factor = torch.tensor([degrees, scale], dtype=torch.float64)
    source = _map(still, angle, factor, still)
    return Views(
        source=source.expand(count, 3, 3),
        brightness=torch.zeros(count, dtype=torch.float64),
        gain=torch.ones(count, channels, dtype=torch.float64),
        blur=torch.zeros(count, dtype=torch.float64),
    )


def see(images: Tensor, views: Views) -> Tensor:
    """Show pictures (N x C x H x W in [0, 1]) under N views; pictures are reflected at their border."""
    return _light(warp(images, views.source), views)


def place(thing: Tensor, mask: Tensor, backgrounds: Tensor, views: Views) -> Tensor:
    """Put an object in front of backgrounds: the object is warped; light and blur apply to the whole picture.

    Args:
        thing: The object, C x H x W in [0, 1]; only pixels in the mask are used.
        mask: H x W, 1 where the object is and 0 elsewhere.
        backgrounds: N x C x H x W in [0, 1].
        views: One per background.
    """
    both = torch.cat([thing * mask, mask[None]])
    warped = warp(both.expand(len(backgrounds), *both.shape), views.source, "black")
    return _light(backgrounds * (1 - warped[:, -1:]) + warped[:, :-1], views)


def _light(images: Tensor, views: Views) -> Tensor:
    gain, brightness = views.gain.to(images)[:, :, None, None], views.brightness.to(images)[:, None, None, None]
    return gaussian_blur((images * gain + brightness).clamp(0, 1), views.blur.to(images))


def _map(tilt: Tensor, degrees: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    perspective = torch.eye(3, dtype=torch.float64)
    # The depth depends on the position in the view, so it stays above 0 wherever the object is.
    perspective[2, :2] = tilt
    smaller = torch.diag(torch.stack([1 / factor, 1 / factor, torch.ones_like(factor)]))
    return smaller @ rotation(float(degrees)) @ translation(float(shift[0]), float(shift[1])) @ perspective
