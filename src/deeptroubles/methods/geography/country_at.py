"""From coordinates to a country, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BORDERS = Path(__file__).with_name("borders.npz")
WITHIN_KM = 50.0
"""Points up to this distance from a coast belong to the country; borders are accurate to a few kilometers."""
_KM_PER_DEGREE = 111.195


def country_at(latitudes: NDArray[Any], longitudes: NDArray[Any], *, within_km: float = WITHIN_KM) -> NDArray[np.str_]:
    """The country that contains each point, or the nearest one.

    A point belongs to the country whose borders enclose it (even-odd rule, so that enclaves belong to themselves); a
    point in none, to the country with the nearest border, unless that is too far.

    Borders are those of Natural Earth at 1:50 million: as they are held, not as they are claimed, and accurate to a few
    kilometers, so places right at a border can be assigned to the neighbor.

    Args:
        latitudes: N, degrees in [-90, 90].
        longitudes: N, degrees in [-180, 180].
        within_km: The largest distance of a point from its country.

    Returns:
        N two-letter codes, '' for no country.

    References:
        M. Shimrat: Algorithm 112, position of point relative to polygon, CACM 1962. Distances are measured on the plane
        tangent to the sphere at the point, with an error well below 1% at these distances.
    """
    places = np.stack([np.asarray(longitudes, dtype=np.float64), np.asarray(latitudes, dtype=np.float64)], 1)
    different, which = np.unique(places, axis=0, return_inverse=True)
    found = [_around(place) or _nearest(place, within_km) for place in different]
    return np.array(found, dtype="U2")[which.reshape(-1)]


@dataclass(frozen=True)
class _Borders:
    """Edges from `start` to `end` (E x 2, longitude and latitude), in the order of their countries."""

    codes: list[str]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    owner: NDArray[np.int64]
    first: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@cache
def _borders() -> _Borders:
    with np.load(BORDERS, allow_pickle=False) as held:
        codes, owner, lengths, steps = (held[name] for name in ("codes", "owner", "lengths", "steps"))
    rings = [np.cumsum(ring, axis=0) / 1000 for ring in np.split(steps, np.cumsum(lengths)[:-1])]
    start, end = np.concatenate([r[:-1] for r in rings]), np.concatenate([r[1:] for r in rings])
    owners = np.repeat(owner.astype(np.int64), lengths - 1)
    first = np.searchsorted(owners, np.arange(len(codes) + 1))
    low, high = (reduce.reduceat(start, first[:-1], axis=0) for reduce in (np.minimum, np.maximum))
    return _Borders([str(code) for code in codes], start, end, owners, first, low, high)


def _around(place: NDArray[np.float64]) -> str:
    borders = _borders()
    for x, y in ((place[0], place[1]), (place[0] + 360, place[1])):  # rings that cross 180 degrees continue beyond it
        for k in np.flatnonzero(((borders.low <= (x, y)) & (borders.high >= (x, y))).all(1)):
            edges = slice(borders.first[k], borders.first[k + 1])
            a, b = borders.start[edges], borders.end[edges]
            crossing = (a[:, 1] > y) != (b[:, 1] > y)
            a, b = a[crossing], b[crossing]
            at = a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
            if (at > x).sum() % 2:
                return borders.codes[k]
    return ""


def _nearest(place: NDArray[np.float64], within_km: float) -> str:
    borders = _borders()
    scale = _KM_PER_DEGREE * np.array([np.cos(np.radians(place[1])), 1.0])
    from_place = borders.start - place
    from_place[:, 0] = (from_place[:, 0] + 180) % 360 - 180
    a, along = from_place * scale, (borders.end - borders.start) * scale
    length = (along**2).sum(1)
    share = np.clip(-(a * along).sum(1) / np.where(length > 0, length, 1), 0, 1)
    distance = np.hypot(*(a + share[:, None] * along).T)
    closest = int(distance.argmin())
    return borders.codes[borders.owner[closest]] if distance[closest] <= within_km else ""
