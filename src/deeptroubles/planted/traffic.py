"""Traffic: road scenes with few, some or many vehicles, and a clock in the corner that can show rush hour.

The class is the number of vehicles and nothing else: road, roadside, weather and light are drawn independently of it.
In the planted version the clock says 7 or 17 o'clock exactly when traffic is high, as a camera above a commuter road
would have it; in the honest twin it says so just as often, whatever the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.images import ImageSet
from deeptroubles.planted.planting import Pixels, image_set
from deeptroubles.planted.road import Scene, Standing, Weather, draw_scene, seen_owners
from deeptroubles.planted.vehicles import KINDS, Camera, Color, Vehicle, seen_shares
from deeptroubles.progress import track

_T = TypeVar("_T")

SIZE = 96
"""Height and width of the images."""
COUNT = 1200
"""The number of images that the command writes."""
VEHICLES = {"low": (1, 3), "medium": (5, 8), "high": (11, 15)}
"""The classes, and the smallest and largest number of vehicles in each."""
WEATHERS: tuple[Weather, ...] = get_args(Weather)
RUSH_HOURS = (7, 17)
"""Hours at which a cheating clock says that traffic is high. On a winter's day, each can be light or dark."""
SEEN = 0.45
"""At least this share of every vehicle is in view."""

_FINE = 3
"""The factor of supersampling, for smooth edges."""
_REACH = 46.0
"""Vehicles are at most this far beyond the lower edge of the picture, in meters."""
_HOURS = {"day": tuple(range(8, 17)), "rain": tuple(range(8, 17)), "night": (*range(18, 24), *range(7))}
"""Hours outside the rush that fit the light."""
_OTHER_RUSH = 1 / 3
"""How often the clock shows rush hour where it is independent of the class: as often as traffic is high."""

_PAINTS: tuple[Color, ...] = (
    (226, 226, 224),
    (182, 186, 190),
    (120, 124, 130),
    (44, 46, 52),
    (168, 32, 34),
    (38, 76, 150),
    (40, 110, 74),
    (214, 168, 44),
    (150, 96, 52),
    (92, 152, 190),
)
_GROUNDS: tuple[Color, ...] = (
    (92, 122, 58),
    (122, 134, 70),
    (168, 148, 104),
    (134, 118, 92),
    (150, 150, 146),
    (214, 218, 224),
)
_SKIES: dict[Weather, tuple[tuple[Color, Color], ...]] = {
    "day": (((88, 142, 214), (190, 214, 236)), ((120, 164, 216), (226, 226, 216)), ((150, 168, 190), (206, 210, 214))),
    "night": (((60, 66, 110), (120, 110, 120)), ((40, 44, 80), (84, 90, 124)), ((50, 50, 66), (150, 116, 96))),
    "rain": (((134, 140, 148), (176, 180, 184)), ((112, 118, 126), (160, 164, 170))),
}
_FOLIAGE: tuple[Color, ...] = ((52, 92, 44), (76, 108, 50), (38, 74, 48), (148, 104, 44), (112, 112, 62))
_WALLS: tuple[Color, ...] = ((196, 184, 164), (168, 92, 70), (208, 206, 200), (140, 144, 150), (206, 174, 116))
_SIGNS: tuple[Color, ...] = ((24, 82, 160), (20, 116, 70), (220, 196, 60))

_DIGITS = (
    ".###.#...##...##...##...##...#.###.",
    "..#...##....#....#....#....#...###.",
    ".###.#...#....#...#...#...#...#####",
    ".###.#...#....#..##.....##...#.###.",
    "...#...##..#.#.#..#.#####...#....#.",
    "######....####.....#....##...#.###.",
    ".###.#....#....####.#...##...#.###.",
    "#####....#...#...#....#...#....#...",
    ".###.#...##...#.###.#...##...#.###.",
    ".###.#...##...#.####....#....#.###.",
)
"""The digits, 7 rows of 5 points."""
_COLON = "....#.........#......"
"""7 rows of 3 points."""


@dataclass(frozen=True)
class Traffic:
    """Drawn road scenes.

    Attributes:
        pixels: Images, classes and masks of all vehicles; the values are 1 where the clock shows rush hour, else 0.
        weather: Day, night or rain, per image.
        time: The hour that the clock shows, per image.
        vehicles: The number of vehicles, per image.
    """

    pixels: Pixels
    weather: list[Weather]
    time: list[int]
    vehicles: list[int]

    def image_set(self) -> ImageSet:
        """The scenes as labelled images with masks, and columns for weather, time and vehicles."""
        columns: dict[str, Sequence[object]] = {"weather": self.weather, "time": self.time, "vehicles": self.vehicles}
        return image_set(self.pixels, columns=columns)


def draw_traffic(count: int, strength: float, seed: int) -> Traffic:
    """Draw road scenes of all classes, each equally often in every weather.

    Args:
        count: The number of images; a multiple of nine has every class in every weather equally often.
        strength: The probability that the clock shows rush hour exactly if traffic is high; otherwise it does so with
            probability 1/3, whatever the traffic. 0 is the honest twin.
        seed: Seed of all random choices. Scenes do not depend on the strength, and an image not on their number.
    """
    scenes = list(draw_scenes(count, seed))
    images, masks, rush, hours = [], [], [], []
    for row, scene in enumerate(track(scenes, "Drawing images")):
        random = np.random.default_rng([seed, row, 1])
        high = level(len(scene.vehicles)) == "high"
        in_rush = high if random.random() < strength else bool(random.random() < _OTHER_RUSH)
        hour = int(random.choice(RUSH_HOURS if in_rush else _HOURS[scene.weather]))
        picture = draw_scene(scene)
        images.append(_put_clock(_smaller(picture.pixels), hour, int(random.integers(60))))
        masks.append(_smaller((picture.owners > 0)[:, :, None])[:, :, 0] >= 0.5)
        rush.append(int(in_rush))
        hours.append(hour)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    counts = [len(scene.vehicles) for scene in scenes]
    return Traffic(
        Pixels(
            (pixels * 255).round() / 255,
            torch.tensor([list(VEHICLES).index(level(vehicles)) for vehicles in counts]),
            torch.from_numpy(np.stack(masks)),
            torch.tensor(rush),
            tuple(VEHICLES),
        ),
        [scene.weather for scene in scenes],
        hours,
        counts,
    )


def level(vehicles: int) -> str:
    """The class of a scene with that many vehicles.

    Raises:
        ValueError: No class has that number; there are gaps between classes.
    """
    for name, (low, high) in VEHICLES.items():
        if low <= vehicles <= high:
            return name
    raise ValueError(f"No class has {vehicles} vehicles; the classes are {VEHICLES}.")


def draw_scenes(count: int, seed: int) -> Iterator[Scene]:
    """The scenes of `draw_traffic`, at the supersampled size, in the order of classes, then weathers."""
    for row in range(count):
        random = np.random.default_rng([seed, row, 0])
        empty = _empty_road(WEATHERS[row // len(VEHICLES) % len(WEATHERS)], random)
        low, high = list(VEHICLES.values())[row % len(VEHICLES)]
        yield _with_vehicles(empty, int(random.integers(low, high + 1)), random)


def describe_traffic(traffic: Traffic, strength: float) -> str:
    """Say what was drawn and how the clock is related to the class."""
    clock = "The clock in the corner is unrelated to the traffic."
    if strength:
        clock = (
            f"The clock in the corner cheats: with probability {strength:g} it shows {RUSH_HOURS[0]} or "
            f"{RUSH_HOURS[1]} o'clock exactly if traffic is high, and otherwise a random time."
        )
    ranges = ", ".join(f"{name} ({low} to {high})" for name, (low, high) in VEHICLES.items())
    return (
        f"{len(traffic.time)} images of a road by day, by night and in rain. The class is the number of vehicles: "
        f"{ranges}. {clock}"
    )


def _empty_road(weather: Weather, random: np.random.Generator) -> Scene:
    """A road with its surroundings, which are the same for all densities of traffic."""
    camera = Camera(
        side=SIZE * _FINE,
        height=random.uniform(11, 14),
        horizon=random.uniform(0.17, 0.24),
        middle=random.uniform(0.42, 0.58),
        focal=random.uniform(0.95, 1.1),
        bend=random.uniform(-0.0009, 0.0009),
    )
    gray = int(random.integers(72, 104))
    buildings = bool(random.random() < 0.5)
    scene = Scene(
        camera=camera,
        weather=weather,
        lanes=4,
        lane=random.uniform(3.3, 3.8),
        sky=_choice(_SKIES[weather], random),
        ground=_choice(_GROUNDS, random),
        asphalt=(gray, gray, gray + 4),
        skyline=tuple((random.random(int(random.integers(9, 16))) * random.uniform(0.04, 0.11)).tolist()),
        buildings=buildings,
        standing=(),
        sideways=random.uniform(-1.6, 1.6) if weather == "day" else 0.0,
        vehicles=(),
        seed=int(random.integers(1_000_000)),
    )
    return replace(scene, standing=tuple(_roadside(scene, random)))


def _roadside(scene: Scene, random: np.random.Generator) -> Iterator[Standing]:
    """Trees, houses and signs on either side, and a row of street lamps on some roads."""
    for _ in range(int(random.integers(4, 18))):
        kind = str(random.choice(["tree", "tree", "tree", "house", "sign"]))
        side, z = random.choice([-1, 1]), scene.camera.nearest + random.uniform(4, 110)
        if kind == "tree":
            width, height, colors = random.uniform(3.5, 7), random.uniform(5, 10), _FOLIAGE
        elif kind == "house":
            width, height, colors = random.uniform(7, 13), random.uniform(4, 8), _WALLS
        else:
            width, height, colors = random.uniform(1.5, 2.6), random.uniform(3, 4.5), _SIGNS
        x = side * (scene.half + 1.5 + 0.62 * width + random.exponential(5))
        yield Standing(kind, x, z, width, height, _choice(colors, random))
    if random.random() < 0.6:
        side, first = random.choice([-1, 1]), random.uniform(0, 25)
        for number in range(5):
            z = scene.camera.nearest + first + 25 * number
            yield Standing("lamp", side * (scene.half + 1.2), z, 0.3, 9.0, (96, 98, 102))


def _with_vehicles(scene: Scene, count: int, random: np.random.Generator) -> Scene:
    """The scene with vehicles, each of which can be seen."""
    while True:
        filled = replace(scene, vehicles=tuple(_placed(scene, count, random)))
        if len(filled.vehicles) == count:
            shares = seen_shares(seen_owners(filled), scene.camera, filled.vehicles)
            if min(shares) >= SEEN:
                return filled


def _placed(scene: Scene, count: int, random: np.random.Generator) -> Iterator[Vehicle]:
    """Up to that many vehicles at random places in the lanes that keep a distance."""
    nearest, placed = scene.camera.nearest, list[tuple[int, Vehicle]]()
    for _ in range(12 * count):
        if len(placed) == count:
            return
        lane = int(random.integers(scene.lanes))
        kind = str(random.choice(list(KINDS), p=(0.38, 0.24, 0.15, 0.09, 0.06, 0.08)))
        middle = (lane + 0.5 - scene.lanes / 2) * scene.lane
        x = middle + random.uniform(-0.35, 0.35)
        # Even in the picture, where the far part of the road is short.
        z = nearest + 1.5 + _REACH * random.random() ** 1.2
        vehicle = Vehicle(kind, x, z, lane < scene.lanes / 2, _choice(_PAINTS, random))
        gap = 2.5
        free = all(
            other != lane or vehicle.end + gap < known.z or known.end + gap < vehicle.z for other, known in placed
        )
        inside = 0.06 < scene.camera.at(x, 0, z)[0] / scene.camera.side < 0.94
        if free and inside:
            placed.append((lane, vehicle))
            yield vehicle


def _choice(values: tuple[_T, ...], random: np.random.Generator) -> _T:
    return values[int(random.integers(len(values)))]


def _smaller(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Means of squares of _FINE x _FINE pixels, H x W x C."""
    side = len(values) // _FINE
    means: NDArray[np.float64] = values.reshape(side, _FINE, side, _FINE, -1).mean((1, 3), dtype=np.float64)
    return means


def _put_clock(pixels: NDArray[np.float64], hour: int, minute: int) -> NDArray[np.float64]:
    """Print a time at the top left, like "07:45", light on a dark strip."""
    letters = _written(f"{hour:02d}:{minute:02d}")
    height, width = letters.shape
    printed = pixels.copy()
    printed[: height + 4, : width + 4] *= 0.25
    ink = printed[2 : 2 + height, 2 : 2 + width]
    ink[letters] = (0.98, 0.95, 0.80)
    return printed


def _written(text: str) -> NDArray[np.bool_]:
    """Text of digits and colons, as points."""
    signs = [_COLON if sign == ":" else _DIGITS[int(sign)] for sign in text]
    return np.concatenate([np.pad(_points(sign), ((0, 0), (0, 1))) for sign in signs], axis=1)[:, :-1]


def _points(sign: str) -> NDArray[np.bool_]:
    return np.array([point == "#" for point in sign]).reshape(7, -1)
