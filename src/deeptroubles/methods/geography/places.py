"""The country of each image, from its columns or its GPS position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.display import Brief
from deeptroubles.images.labels import label_text
from deeptroubles.methods.geography.countries import country_code
from deeptroubles.methods.geography.country_at import country_at

COUNTRY = ("country", "country_code", "iso_country", "countrycode")
LATITUDE, LONGITUDE = ("lat", "latitude"), ("lon", "lng", "long", "longitude")
ACCURACY = "accuracy"
MIN_ACCURACY = 3
"""Flickr's accuracy ranges from 1 (the world) to 16 (the street); from 3 on the country is known."""


@dataclass(frozen=True, repr=False)
class Places(Brief):
    """Where images come from.

    Attributes:
        codes: The two-letter code of each image's country, '' where it is unknown.
        sources: Where the country comes from, with the number of images, in the order of precedence.
        remarks: What cannot be used of what was given, a sentence each.
    """

    codes: NDArray[np.str_]
    sources: dict[str, int]
    remarks: tuple[str, ...]


def places(table: pd.DataFrame, gps: NDArray[np.float64]) -> Places:
    """Find each image's country: from a column with its name or code, else from coordinates, else from GPS.

    Args:
        table: One row per image. Columns are found by their names, in any case: `country` (or `country_code`), `lat`
            and `lon` (or `latitude`, `longitude`, and `accuracy` as in YFCC100M).
        gps: N x 2, latitude and longitude from the image's file, NaN where there are none.
    """
    columns = {str(name).strip().lower(): table[name] for name in table}
    remarks: list[str] = []
    by_name = _named(_first(columns, COUNTRY), len(table), remarks)
    given = _coordinates(columns, remarks)
    by_column = _located(given, "coordinates", remarks) if given is not None else np.full(len(table), "")
    by_gps = _located(gps, "GPS positions", remarks)
    both = (by_name != "") & (by_column != "")
    different = int((both & (by_name != by_column)).sum())
    if different:
        remarks.append(
            f"On {different} of {int(both.sum())} images the named country does not contain the coordinates; the name "
            "was used."
        )
    codes = np.full(len(table), "", dtype="U2")
    sources: dict[str, int] = {}
    for source, found in (
        ("the column `country`", by_name),
        ("coordinates", by_column),
        ("GPS positions in files", by_gps),
    ):
        new = (codes == "") & (found != "")
        codes[new] = found[new]
        if new.any():
            sources[source] = int(new.sum())
    return Places(codes, sources, tuple(remarks))


def _first(columns: dict[str, pd.Series[Any]], names: Sequence[str]) -> pd.Series[Any] | None:
    return next((columns[name] for name in names if name in columns), None)


def _named(column: pd.Series[Any] | None, count: int, remarks: list[str]) -> NDArray[np.str_]:
    if column is None:
        return np.full(count, "", dtype="U2")
    texts = [label_text(value) or "" for value in column]
    known = {text: country_code(text) or "" for text in set(texts)}
    wrong = [text for text in texts if text and not known[text]]
    if wrong:
        shown = ", ".join(repr(text[:30]) for text in list(dict.fromkeys(wrong))[:3])
        one = len(wrong) == 1
        remarks.append(
            f"{len(wrong)} {'entry names' if one else 'entries name'} no country, or more than one "
            f"({shown}); two- or three-letter codes of ISO 3166 always work."
        )
    return np.array([known[text] for text in texts], dtype="U2")


def _coordinates(columns: dict[str, pd.Series[Any]], remarks: list[str]) -> NDArray[np.float64] | None:
    """N x 2, latitude and longitude, NaN where they are missing; None where there are no such columns."""
    pair = [column for names in (LATITUDE, LONGITUDE) if (column := _first(columns, names)) is not None]
    if len(pair) < 2:
        return None
    numbers = [pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan) for column in pair]
    given = np.stack(numbers, 1)
    text = int(sum((column.notna() & np.isnan(n)).sum() for column, n in zip(pair, numbers, strict=True)))
    if text:
        remarks.append(f"{text} coordinate{'s are' if text > 1 else ' is'} no number; write decimal degrees (47.37).")
    if ACCURACY in columns:
        accuracy = pd.to_numeric(columns[ACCURACY], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        rough = (accuracy >= 1) & (accuracy < MIN_ACCURACY)
        if rough.any():
            given[rough] = np.nan
            remarks.append(
                f"{int(rough.sum())} coordinates are too imprecise for a country (accuracy below {MIN_ACCURACY} of 16)."
            )
    return given


def _located(points: NDArray[np.float64], what: str, remarks: list[str]) -> NDArray[np.str_]:
    latitude, longitude = points.T
    there = np.isfinite(points).all(1)
    possible = there & (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    codes = np.full(len(points), "", dtype="U2")
    codes[possible] = country_at(latitude[possible], longitude[possible])
    outside = there & ~possible
    if outside.any():
        swapped = bool((np.abs(longitude[outside]) <= 90).all())
        hint = "; latitude and longitude may be swapped" if swapped else ""
        remarks.append(
            f"{int(outside.sum())} of {int(there.sum())} {what} are out of range (latitudes go from -90 to "
            f"90, longitudes from -180 to 180){hint}."
        )
    nowhere = possible & (codes == "")
    if nowhere.any():
        hint = "; latitude and longitude may be swapped" if _better_swapped(points[nowhere]) else ""
        remarks.append(f"{int(nowhere.sum())} of {int(there.sum())} {what} are not in or near a country{hint}.")
    return codes


def _better_swapped(points: NDArray[np.float64]) -> bool:
    """Whether most of some points would be in a country if latitude and longitude were swapped."""
    swapped = points[np.abs(points[:, 1]) <= 90]
    return int((country_at(swapped[:, 1], swapped[:, 0]) != "").sum()) > len(points) / 2
