"""A road in perspective with its roadside, vehicles and weather, as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from deeptroubles.planted.vehicles import (
    Camera,
    Color,
    Layers,
    Point,
    Vehicle,
    draw_vehicle,
    empty_layers,
    light_pool,
    shaded,
    shadow,
)

Weather = Literal["day", "night", "rain"]
Floats = NDArray[np.float64]

FAR = 220.0
"""Where the road ends, in meters."""
_LAMP: Color = (255, 214, 150)


@dataclass(frozen=True)
class Standing:
    """A roadside object: a tree, a house, a street lamp or a traffic sign.

    Attributes:
        kind: `tree`, `house`, `lamp` or `sign`.
        x: Its middle, in meters to the right of the road's middle.
        z: Its distance.
        width: In meters.
        height: In meters.
        color: Of its largest part.
    """

    kind: str
    x: float
    z: float
    width: float
    height: float
    color: Color


@dataclass(frozen=True)
class Scene:
    """All that decides a picture of a road.

    Attributes:
        camera: The camera.
        weather: Day, night or rain.
        lanes: The number of lanes; those on the left are oncoming.
        lane: The width of one in meters.
        sky: Two colors, at the top and at the horizon.
        ground: The color of the ground.
        asphalt: The color of the road.
        skyline: Heights above the horizon, in parts of the picture, at equal distances.
        buildings: Whether the skyline is one of buildings rather than hills.
        standing: The roadside objects.
        sideways: Where shadows fall, in meters.
        vehicles: The vehicles.
        seed: Seed of grain and rain.
    """

    camera: Camera
    weather: Weather
    lanes: int
    lane: float
    sky: tuple[Color, Color]
    ground: Color
    asphalt: Color
    skyline: tuple[float, ...]
    buildings: bool
    standing: tuple[Standing, ...]
    sideways: float
    vehicles: tuple[Vehicle, ...]
    seed: int

    @property
    def half(self) -> float:
        """Half the width of the road in meters, with its shoulders."""
        return self.lanes * self.lane / 2 + 0.8


@dataclass(frozen=True)
class Picture:
    """A drawn scene.

    Attributes:
        pixels: H x W x 3 in [0, 1].
        owners: H x W: which vehicle is seen, its position in the scene plus 1, or 0.
    """

    pixels: Floats
    owners: NDArray[np.uint8]


def draw_scene(scene: Scene) -> Picture:
    """Draw a scene, at the size of its camera."""
    random = np.random.default_rng(scene.seed)
    layers = empty_layers(scene.camera.side)
    _draw_land(layers, scene, random)
    lit = scene.weather != "day"
    things: list[tuple[float, int, Vehicle | Standing]] = [
        *((vehicle.z, number, vehicle) for number, vehicle in enumerate(scene.vehicles, start=1)),
        *((thing.z, 0, thing) for thing in scene.standing),
    ]
    for _, number, thing in sorted(things, key=lambda entry: -entry[0]):
        if isinstance(thing, Vehicle):
            draw_vehicle(layers, scene.camera, thing, number, lit=lit)
        else:
            _draw_standing(layers, scene, thing)
    surfaces, lights = (np.asarray(layer, dtype=np.float64) / 255 for layer in (layers.surfaces, layers.lights))
    surfaces = (surfaces * (1 + 0.035 * random.standard_normal((*surfaces.shape[:2], 1)))).clip(0, 1)
    finish = {"day": _by_day, "night": _by_night, "rain": _in_rain}[scene.weather]
    return Picture(finish(surfaces, lights, scene, random).clip(0, 1), np.asarray(layers.owners))


def _by_day(surfaces: Floats, _lights: Floats, _scene: Scene, _random: np.random.Generator) -> Floats:
    return surfaces


def _by_night(surfaces: Floats, lights: Floats, scene: Scene, _random: np.random.Generator) -> Floats:
    side = scene.camera.side
    lit = np.array([0.13, 0.15, 0.24]) + _pools(scene, strength=0.75)
    return surfaces * lit + lights + 0.9 * _blurred(lights, side / 60) + 0.8 * _blurred(lights, side / 22)


def _in_rain(surfaces: Floats, lights: Floats, scene: Scene, random: np.random.Generator) -> Floats:
    side = scene.camera.side
    gray = surfaces.mean(2, keepdims=True)
    dull = (0.45 * surfaces + 0.55 * gray) * np.array([0.62, 0.66, 0.72]) + _pools(scene, strength=0.1)
    distance = scene.camera.focal * scene.camera.height / _below(scene).clip(1e-3)
    haze = (1 - np.exp(-distance / 110))[:, None, None]
    wet = dull * (1 - haze) + np.array([0.56, 0.60, 0.65]) * haze
    shining = lights + 0.5 * _blurred(lights, side / 70) + 0.55 * _smeared(lights, scene)
    return _streaks(wet + shining, random)


def _below(scene: Scene) -> Floats:
    """How far every row lies below the horizon, in parts of the picture."""
    rows = (np.arange(scene.camera.side) + 0.5) / scene.camera.side
    return rows - scene.camera.horizon


def _pools(scene: Scene, strength: float) -> Floats:
    """Light on the road from headlights and street lamps, H x W x 3."""
    camera = scene.camera
    cast = Image.new("RGB", (camera.side, camera.side))
    for thing in scene.standing:
        if thing.kind == "lamp":
            lamp_x, near, far = thing.x * 0.55, max(thing.z - 5, 1), thing.z + 7
            corners = ((lamp_x - 5, near), (lamp_x + 5, near), (lamp_x + 5, far), (lamp_x - 5, far))
            ImageDraw.Draw(cast).polygon([camera.at(x, 0, z) for x, z in corners], fill=shaded(_LAMP, 0.55))
    for vehicle in scene.vehicles:
        ImageDraw.Draw(cast).polygon(light_pool(camera, vehicle), fill=(235, 225, 190))
    return strength * _blurred(np.asarray(cast, dtype=np.float64) / 255, camera.side / 32)


def _blurred(values: Floats, radius: float) -> Floats:
    image = Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float64) / 255


def _smeared(lights: Floats, scene: Scene) -> Floats:
    """Reflections on a wet road: lights drawn out downwards."""
    drop = scene.camera.side // 14
    total = np.zeros_like(lights)
    for step in range(1, drop + 1):
        total[step:] += lights[:-step] * (1 - step / (drop + 1))
    return _blurred(total / drop * 2.2, scene.camera.side / 140)


def _streaks(pixels: Floats, random: np.random.Generator) -> Floats:
    """Falling rain."""
    side = len(pixels)
    rain = Image.new("L", (side, side))
    slant, drops = random.uniform(-0.25, 0.25), int(random.integers(60, 120))
    for x, y, length in random.random((drops, 3)) * (side * 1.1, side, side / 9):
        end = (x + slant * (length + side / 20), y + length + side / 20)
        ImageDraw.Draw(rain).line([(x, y), end], fill=255, width=max(1, side // 200))
    cover = 0.3 * np.asarray(rain.filter(ImageFilter.GaussianBlur(side / 400)), dtype=np.float64)[:, :, None] / 255
    return pixels * (1 - cover) + 0.86 * cover


def _draw_land(layers: Layers, scene: Scene, random: np.random.Generator) -> None:
    """Sky, skyline, ground, road with its markings, and the shadows of the vehicles."""
    side, horizon = scene.camera.side, scene.camera.side * scene.camera.horizon
    layers.surfaces.paste(_sky(scene))
    _draw_skyline(layers, scene, horizon)
    layers.surfaces.paste(_meadow(scene, random), (0, round(horizon)))
    _stripe(layers, scene, -scene.half - 0.4, scene.half + 0.4, shaded(scene.ground, 0.85))
    _stripe(layers, scene, -scene.half, scene.half, scene.asphalt)
    _draw_markings(layers, scene)
    shade = Image.new("L", (side, side))
    for vehicle in scene.vehicles:
        ImageDraw.Draw(shade).polygon(shadow(scene.camera, vehicle, scene.sideways), fill=150)
    shade = shade.filter(ImageFilter.GaussianBlur(side / 190))
    layers.surfaces.paste((12, 12, 18), mask=shade)


def _sky(scene: Scene) -> Image.Image:
    side = scene.camera.side
    top, low = (np.array(color, dtype=np.float64) for color in scene.sky)
    share = (np.arange(side) / (side * scene.camera.horizon)).clip(0, 1)[:, None]
    rows = top + (low - top) * share
    return Image.fromarray(np.repeat(rows[:, None], side, axis=1).astype(np.uint8))


def _draw_skyline(layers: Layers, scene: Scene, horizon: float) -> None:
    side, steps = scene.camera.side, len(scene.skyline) - 1
    color = shaded(scene.sky[1], 0.62) if scene.buildings else shaded(scene.ground, 0.75)
    tops = [(side * i / steps, horizon - side * height) for i, height in enumerate(scene.skyline)]
    if scene.buildings:
        for (left, top), (right, _) in pairwise(tops):
            layers.cover([(left, top), (right, top), (right, horizon), (left, horizon)], shaded(color, 0.8 + top % 0.4))
    else:
        layers.cover([(0, horizon + 1), *tops, (side, horizon + 1)], color)


def _meadow(scene: Scene, random: np.random.Generator) -> Image.Image:
    """The ground, with patches that get smaller with distance."""
    side = scene.camera.side
    below = _below(scene)
    below = below[below > -0.5 / side]
    distance = scene.camera.focal * scene.camera.height / below.clip(0.004)
    across = (np.linspace(0, 1, side) - scene.camera.middle)[None] * distance[:, None] / scene.camera.focal
    waves = sum(
        np.sin(across * a + np.log(distance)[:, None] * b + phase)
        for a, b, phase in random.uniform((0.1, 4, 0), (0.5, 16, 6.3), (4, 3))
    )
    shade = 1 + 0.055 * np.asarray(waves)
    return Image.fromarray((shade[:, :, None] * np.array(scene.ground)).clip(0, 255).astype(np.uint8))


def _stripe(layers: Layers, scene: Scene, left: float, right: float, color: Color, ends: Point = (0, FAR)) -> None:
    """A stripe along the road, between two distances."""
    start, end = max(ends[0], scene.camera.nearest * 0.9), ends[1]
    if start < end:
        depths = np.geomspace(start, end, 24)
        edge = [scene.camera.at(left, 0, z) for z in depths] + [scene.camera.at(right, 0, z) for z in depths[::-1]]
        layers.cover(edge, color)


def _draw_markings(layers: Layers, scene: Scene) -> None:
    white, outer = (225, 225, 218), scene.lanes * scene.lane / 2
    for x in (-outer, outer):
        _stripe(layers, scene, x - 0.12, x + 0.12, white)
    for number in range(1, scene.lanes):
        x = -outer + number * scene.lane
        if 2 * number == scene.lanes:
            for line in (x - 0.25, x + 0.1):
                _stripe(layers, scene, line, line + 0.15, white)
        else:
            for z in range(scene.seed % 10, 110, 10):
                _stripe(layers, scene, x - 0.1, x + 0.1, white, (z, z + 4.5))


def _draw_standing(layers: Layers, scene: Scene, thing: Standing) -> None:
    draw = {"tree": _draw_tree, "house": _draw_house, "lamp": _draw_lamp, "sign": _draw_sign}[thing.kind]
    draw(layers, scene, thing)


def _upright(scene: Scene, thing: Standing, left: float, right: float, low: float, high: float) -> list[Point]:
    """A rectangle that faces the camera, in meters from the foot of a thing."""
    corners = ((left, low), (right, low), (right, high), (left, high))
    return [scene.camera.at(thing.x + x, y, thing.z) for x, y in corners]


def _draw_tree(layers: Layers, scene: Scene, thing: Standing) -> None:
    half, height = thing.width / 2, thing.height
    layers.cover(_upright(scene, thing, -0.25, 0.25, 0, 0.5 * height), (74, 56, 40))
    angles = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    for middle, size, shade in ((0.55, 1.0, 0.8), (0.64, 0.78, 1.0), (0.72, 0.5, 1.18)):
        radius = 1 + 0.12 * np.sin(5 * angles + thing.z + middle)
        across = size * half * radius * np.cos(angles)
        up = height * (middle + 0.3 * size * radius * np.sin(angles))
        crown = [scene.camera.at(thing.x + x, y, thing.z) for x, y in zip(across, up, strict=True)]
        layers.cover(crown, shaded(thing.color, shade))


def _draw_house(layers: Layers, scene: Scene, thing: Standing) -> None:
    half, height, lit = thing.width / 2, thing.height, scene.weather == "night"
    layers.cover(_upright(scene, thing, -half, half, 0, height), thing.color)
    roof = [(-half - 0.4, height), (half + 0.4, height), (half * 0.6, height * 1.35), (-half * 0.6, height * 1.35)]
    layers.cover([scene.camera.at(thing.x + x, y, thing.z) for x, y in roof], shaded(thing.color, 0.6))
    for number in range(int(thing.width // 3)):
        left = -half + 0.9 + 3 * number
        window = _upright(scene, thing, left, left + 1.3, 0.4 * height, 0.7 * height)
        if lit and (number + int(thing.z)) % 2:
            layers.shine(window, (150, 118, 62))
        else:
            layers.cover(window, (52, 60, 72))


def _draw_lamp(layers: Layers, scene: Scene, thing: Standing) -> None:
    inward = -np.sign(thing.x) * 1.8
    layers.cover(_upright(scene, thing, -0.12, 0.12, 0, thing.height), thing.color)
    arm = _upright(scene, thing, min(0, inward), max(0, inward), thing.height - 0.2, thing.height)
    layers.cover(arm, thing.color)
    if scene.weather == "night":
        layers.shine(_upright(scene, thing, inward - 0.35, inward + 0.35, thing.height - 0.6, thing.height), _LAMP)


def _draw_sign(layers: Layers, scene: Scene, thing: Standing) -> None:
    half = thing.width / 2
    layers.cover(_upright(scene, thing, -0.1, 0.1, 0, thing.height), (120, 120, 124))
    layers.cover(_upright(scene, thing, -half, half, thing.height - thing.width * 0.7, thing.height), thing.color)


def seen_owners(scene: Scene) -> NDArray[np.uint8]:
    """Which vehicle is seen at every pixel, without drawing light and weather."""
    layers = empty_layers(scene.camera.side)
    things: Sequence[Vehicle | Standing] = sorted((*scene.vehicles, *scene.standing), key=lambda thing: -thing.z)
    for thing in things:
        if isinstance(thing, Vehicle):
            draw_vehicle(layers, scene.camera, thing, 1 + scene.vehicles.index(thing), lit=False)
        else:
            _draw_standing(layers, scene, thing)
    return np.asarray(layers.owners)
