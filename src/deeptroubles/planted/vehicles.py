"""Vehicles on a road, drawn as boxes in perspective, far to near, with their lights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

GLASS: Color = (38, 46, 58)
HEADLIGHT: Color = (255, 244, 205)
TAILLIGHT: Color = (255, 36, 20)


@dataclass(frozen=True)
class Camera:
    """A camera above a road, which looks along it. Lengths are in meters, pictures square.

    Attributes:
        side: Height and width of the picture in pixels.
        height: Of the camera above the road.
        horizon: Height of the horizon in the picture, in parts of it from the top.
        middle: Where the direction of the road lies, in parts of the picture from the left.
        focal: Focal length in parts of the picture.
        bend: Curvature of the road, 1/m: it has moved sideways by bend * z**2 at the distance z.
    """

    side: int
    height: float
    horizon: float
    middle: float
    focal: float
    bend: float

    def at(self, x: float, y: float, z: float) -> Point:
        """The pixel of the point x to the right of the road's middle, y above the road, at the distance z."""
        scale = self.focal / z
        across = self.middle + scale * (x + self.bend * z**2)
        return self.side * across, self.side * (self.horizon + scale * (self.height - y))

    @property
    def nearest(self) -> float:
        """The distance of the road at the lower edge of the picture."""
        return self.focal * self.height / (1 - self.horizon)


@dataclass(frozen=True)
class Box:
    """A part of a vehicle: from `start` to `end` of its length, `low` to `high` above the road, of some width."""

    start: float
    end: float
    low: float
    high: float
    width: float
    painted: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of vehicle: its length and width in meters, its boxes from the back to the front, and its windows.

    Attributes:
        length: In meters.
        width: In meters.
        boxes: The parts; where `painted` is false they have the color of glass.
        back: The window at the back as low and high edge above the road; None if there is none.
        front: The windscreen likewise.
        lights: Height of the lights above the road.
    """

    length: float
    width: float
    boxes: tuple[Box, ...]
    back: tuple[float, float] | None
    front: tuple[float, float] | None
    lights: float


KINDS = {
    "car": Kind(
        4.4,
        1.85,
        (Box(0, 4.4, 0.3, 0.95, 1.85), Box(0.4, 3.2, 0.95, 1.4, 1.6, painted=False), Box(0.8, 2.7, 1.4, 1.5, 1.5)),
        None,
        None,
        0.75,
    ),
    "estate": Kind(
        4.7,
        1.9,
        (Box(0, 4.7, 0.3, 1.0, 1.9), Box(0.1, 3.4, 1.0, 1.5, 1.7, painted=False), Box(0.2, 2.9, 1.5, 1.62, 1.65)),
        None,
        None,
        0.8,
    ),
    "van": Kind(5.4, 2.1, (Box(0, 5.4, 0.35, 2.3, 2.1),), (1.35, 2.05), (1.3, 2.1), 0.85),
    "truck": Kind(
        8.5,
        2.5,
        (Box(0, 6.2, 0.9, 3.5, 2.5), Box(0.2, 6.0, 0.4, 0.9, 2.2, painted=False), Box(6.5, 8.5, 0.5, 2.8, 2.4)),
        None,
        (1.7, 2.6),
        0.85,
    ),
    "bus": Kind(10.5, 2.55, (Box(0, 10.5, 0.4, 3.1, 2.55),), (1.6, 2.7), (1.2, 2.8), 0.9),
    "motorcycle": Kind(
        2.2, 0.8, (Box(0.1, 2.1, 0.2, 0.85, 0.45, painted=False), Box(0.7, 1.3, 0.85, 1.75, 0.6)), None, None, 0.75
    ),
}
"""The kinds of vehicles, with sizes as they are on roads."""


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on the road.

    Attributes:
        kind: A key of KINDS.
        x: Its middle, in meters to the right of the road's middle.
        z: Distance of its nearer end.
        oncoming: Whether it comes towards the camera.
        color: Its paint.
    """

    kind: str
    x: float
    z: float
    oncoming: bool
    color: Color

    @property
    def end(self) -> float:
        """Distance of its farther end."""
        return self.z + KINDS[self.kind].length


@dataclass(frozen=True)
class Layers:
    """What is drawn of a scene, all of the same size.

    Attributes:
        surfaces: Colors in daylight.
        lights: What shines, black elsewhere.
        owners: Which vehicle is seen: its position in the scene plus 1, or 0.
    """

    surfaces: Image.Image
    lights: Image.Image
    owners: Image.Image

    def cover(self, corners: Sequence[Point], color: Color, owner: int = 0) -> None:
        """Draw a polygon that hides what is behind it."""
        for layer, fill in ((self.surfaces, color), (self.lights, (0, 0, 0)), (self.owners, owner)):
            ImageDraw.Draw(layer).polygon(list(corners), fill=fill)

    def shine(self, corners: Sequence[Point], color: Color) -> None:
        """Draw a lamp on a surface."""
        ImageDraw.Draw(self.surfaces).polygon(list(corners), fill=color)
        ImageDraw.Draw(self.lights).polygon(list(corners), fill=color)


def shaded(color: Color, factor: float) -> Color:
    """A color that is darker (factor below 1) or lighter."""
    red, green, blue = (min(255, round(value * factor)) for value in color)
    return red, green, blue


def draw_vehicle(layers: Layers, camera: Camera, vehicle: Vehicle, owner: int, *, lit: bool) -> None:
    """Draw a vehicle over what is behind it.

    Args:
        layers: Changed in place.
        camera: The camera.
        vehicle: The vehicle.
        owner: Its number in `layers.owners`.
        lit: Whether its lights are on.
    """
    kind = KINDS[vehicle.kind]
    _draw_wheels(layers, camera, vehicle, owner)
    for box in sorted(kind.boxes, key=lambda box: (-_near(vehicle, box), box.high)):
        _draw_box(layers, camera, vehicle, box, owner)
    window = kind.front if vehicle.oncoming else kind.back
    if window:
        layers.cover(_facing(camera, vehicle, 0, 0.84 * kind.width, *window), GLASS, owner)
    _draw_lights(layers, camera, vehicle, owner, lit=lit)


def light_pool(camera: Camera, vehicle: Vehicle) -> list[Point]:
    """The part of the road that the headlights of a vehicle light up."""
    width = KINDS[vehicle.kind].width
    near, far = (vehicle.z - 6, vehicle.z) if vehicle.oncoming else (vehicle.end, vehicle.end + 10)
    wide, narrow = (2.2, 0.5) if vehicle.oncoming else (0.5, 1.2)
    near = max(near, camera.nearest * 0.7)
    edges = ((-wide, near), (wide, near), (narrow, far), (-narrow, far))
    return [camera.at(vehicle.x + side * width, 0, z) for side, z in edges]


def shadow(camera: Camera, vehicle: Vehicle, sideways: float) -> list[Point]:
    """The part of the road in the shadow of a vehicle; `sideways` meters beyond it."""
    half = KINDS[vehicle.kind].width / 2
    left, right = vehicle.x - half + min(0.0, sideways) - 0.15, vehicle.x + half + max(0.0, sideways) + 0.15
    near, far = vehicle.z - 0.5, vehicle.end
    return [camera.at(x, 0, z) for x, z in ((left, near), (right, near), (right, far), (left, far))]


def seen_shares(owners: NDArray[np.uint8], camera: Camera, vehicles: Sequence[Vehicle]) -> list[float]:
    """The share of every vehicle that nothing hides, 0 to 1, of what the picture could show of it."""
    shares = []
    for number, vehicle in enumerate(vehicles, start=1):
        alone = empty_layers(camera.side)
        draw_vehicle(alone, camera, vehicle, number, lit=False)
        own = np.asarray(alone.owners) == number
        shares.append(float((owners[own] == number).mean()) if own.any() else 0.0)
    return shares


def empty_layers(side: int) -> Layers:
    """Layers in which nothing is drawn."""
    return Layers(*(Image.new(mode, (side, side)) for mode in ("RGB", "RGB", "L")))


def _near(vehicle: Vehicle, box: Box) -> float:
    """Distance of the nearer end of a box."""
    return vehicle.end - box.end if vehicle.oncoming else vehicle.z + box.start


def _facing(
    camera: Camera, vehicle: Vehicle, behind: float, width: float, low: float, high: float, shift: float = 0
) -> list[Point]:
    """A rectangle that faces the camera, `behind` meters behind the nearer end of a vehicle."""
    z, left, right = vehicle.z + behind, vehicle.x + shift - width / 2, vehicle.x + shift + width / 2
    return [camera.at(x, y, z) for x, y in ((left, low), (right, low), (right, high), (left, high))]


def _draw_box(layers: Layers, camera: Camera, vehicle: Vehicle, box: Box, owner: int) -> None:
    """The three faces of a box that can be seen: side, top and the one towards the camera."""
    color = vehicle.color if box.painted else GLASS
    near, half = _near(vehicle, box), box.width / 2
    far = near + box.end - box.start
    left, right = vehicle.x - half, vehicle.x + half
    left_is_hidden = camera.at(left, 0, near)[0] <= camera.at(left, 0, far)[0]
    for x in (left, right) if left_is_hidden else (right, left):
        corners = [camera.at(x, y, z) for y, z in ((box.low, near), (box.high, near), (box.high, far), (box.low, far))]
        layers.cover(corners, shaded(color, 0.62), owner)
    top = [camera.at(x, box.high, z) for x, z in ((left, near), (right, near), (right, far), (left, far))]
    layers.cover(top, shaded(color, 1.12), owner)
    front = [camera.at(x, y, near) for x, y in ((left, box.low), (right, box.low), (right, box.high), (left, box.high))]
    layers.cover(front, shaded(color, 0.84), owner)


def _draw_wheels(layers: Layers, camera: Camera, vehicle: Vehicle, owner: int) -> None:
    kind = KINDS[vehicle.kind]
    width = min(0.3, kind.width / 3)
    for behind in (0.75 * kind.length, 0.12 * kind.length):
        for side in (-1, 1):
            corners = _facing(camera, vehicle, behind, width, 0, 0.6, side * (kind.width - width) / 2)
            layers.cover(corners, (18, 18, 20), owner)


def _draw_lights(layers: Layers, camera: Camera, vehicle: Vehicle, owner: int, *, lit: bool) -> None:
    kind = KINDS[vehicle.kind]
    color, size = (HEADLIGHT, 0.42) if vehicle.oncoming else (TAILLIGHT, 0.36)
    sides = (0.0,) if kind.width < 1 else (-kind.width * 0.37, kind.width * 0.37)
    for side in sides:
        lamp = _facing(camera, vehicle, 0, size, kind.lights - size / 2, kind.lights + size / 2, side)
        layers.cover(lamp, shaded(color, 0.75), owner)
        if lit:
            layers.shine(lamp, color)
