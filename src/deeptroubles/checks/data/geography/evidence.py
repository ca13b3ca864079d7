"""The maps and tables of data.geography."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.geography.regions import RegionResult
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.findings import Cell, Column, CountryValue, Table, WorldMap
from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.geography.countries import countries
from deeptroubles.methods.geography.distribution_distance import effective_number, log2_ratio
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.statistics.multinomial import multinomial

PUBLISHED = (("ImageNet (Shankar et al. 2017)", 0.45, 0.03), ("Open Images (Shankar et al. 2017)", 0.32, None))
"""Published approximate shares of images from the United States, and from China and India together."""
SCALE = 4.0
"""The map's colors end at 16 times as many and a sixteenth as many images."""
_CI = Column(name="95% CI", kind="interval")
_EFFECTIVE = Column(name="effective number of countries", kind="number")


class CountryShare(NamedTuple):
    """A country with images: its share of them, of internet users and of people; and log2 of the first two's ratio."""

    code: str
    name: str
    images: int
    share: Interval
    users: float
    people: float
    doublings: Interval


def country_shares(counts: NDArray[np.int64]) -> list[CountryShare]:
    """The countries with images, most images first; the intervals hold for all of them together."""
    table = countries()
    there = np.flatnonzero(counts)
    order = there[np.argsort(-counts[there], kind="stable")]
    shares = multinomial(np.append(counts[order], 0))[:-1]  # the last one is everywhere else
    users, people = ((table[name] / table[name].sum()).to_numpy() for name in ("internet", "population"))
    return [
        CountryShare(
            str(table.index[i]),
            str(table["name"].iloc[i]),
            int(counts[i]),
            share,
            float(users[i]),
            float(people[i]),
            log2_ratio(share, float(users[i])),
        )
        for i, share in zip(order, shares, strict=True)
    ]


def share_map(shares: Sequence[CountryShare]) -> WorldMap:
    """Each country's share of the images, compared with its share of internet users."""
    values = [
        CountryValue(
            code=c.code,
            name=c.name,
            value=round(c.doublings.value, 3),
            note=f"{plural(c.images, 'image')}, {percent_interval(c.share)}; internet users {small_percent(c.users)}",
        )
        for c in shares
        if c.users > 0
    ]
    first = shares[0]
    return WorldMap(
        title="Where the images come from, compared with internet users",
        countries=values,
        scale_label="Share of the images over share of the world's internet users, in doublings (log2)",
        low=-SCALE,
        high=SCALE,
        diverging=True,
        absent="no images",
        caption="0: the same share of images as of internet users; 1: twice as much; −1: half as much. Colors end at "
        f"{SCALE:g} and −{SCALE:g}.",
        alt=f"World map of {len(values)} countries with images, most from {first.name} ({percent(first.share.value)}).",
    )


def accuracy_map(regions: Sequence[RegionResult]) -> list[WorldMap]:
    """The accuracy of each country with enough labelled images, where there are two of them."""
    judged = [region for region in regions if region.large]
    if len(judged) < 2:
        return []
    codes = {name: str(code) for code, name in countries()["name"].items()}
    values = [
        CountryValue(
            code=codes[region.name],
            name=region.name,
            value=region.accuracy.value,
            note=f"{percent_interval(region.accuracy)} of {plural(region.images, 'image')} correct",
        )
        for region in judged
    ]
    low, high = (end(value.value for value in values) for end in (min, max))
    return [
        WorldMap(
            title="Accuracy by country",
            countries=values,
            scale_label="accuracy",
            low=float(np.floor(20 * low - 1e-9)) / 20,
            high=float(np.ceil(20 * high)) / 20,
            absent=f"fewer than {MIN_GROUP} labelled images",
            caption="Single countries also differ by chance: look at their intervals.",
            alt=f"World map of {len(values)} countries, with accuracies from {percent(low)} to {percent(high)}.",
        )
    ]


def comparison_table(counts: NDArray[np.int64], effective_by_chance: float) -> Table:
    """The images next to the world and to published data sets."""
    table = countries()
    columns = [
        Column(name="data set"),
        Column(name="United States", kind="share"),
        Column(name="China and India", kind="share"),
        _EFFECTIVE,
    ]

    def row(name: str, amounts: NDArray[Any]) -> list[Cell]:
        shares = amounts / amounts.sum()
        american, chinese, indian = (float(shares[table.index.get_loc(code)]) for code in ("US", "CN", "IN"))
        return [name, round(american, 4), round(chinese + indian, 4), round(float(effective_number(shares)), 1)]

    rows: list[list[Cell]] = [
        row("these images", counts),
        [f"{counts.sum()} random images of internet users", None, None, round(effective_by_chance, 1)],
        row("the world's internet users", table["internet"].to_numpy()),
        row("the world's people", table["population"].to_numpy()),
    ]
    rows += [[f"{name}, approximately", american, asian, None] for name, american, asian in PUBLISHED]
    return Table(title="Compared with the world and published data sets", columns=columns, rows=rows)


def country_table(shares: Sequence[CountryShare]) -> Table:
    """Each country's share of the images, of internet users and of people."""
    columns = [
        Column(name="country"),
        Column(name="images", kind="number"),
        Column(name="share", kind="share"),
        Column(name="95% CI (all together)", kind="interval"),
        Column(name="internet users", kind="share"),
        Column(name="people", kind="share"),
        Column(name="doublings over users", kind="number"),
    ]
    rows: list[list[Cell]] = [
        [
            c.name,
            c.images,
            round(c.share.value, 4),
            [round(c.share.low, 4), round(c.share.high, 4)],
            round(c.users, 4),
            round(c.people, 4),
            round(c.doublings.value, 2),
        ]
        for c in shares
    ]
    return Table(title="Countries of the images", columns=columns, rows=rows)


def region_table(kind: str, regions: Sequence[RegionResult]) -> Table:
    """The accuracy of each region, income group or country."""
    numbers = [Column(name="labelled images", kind="number"), Column(name="accuracy", kind="share"), _CI]
    rows: list[list[Cell]] = []
    for region in regions:
        cells: list[Cell] = [None, None, "too few images"]
        if region.large:
            value, low, high = (round(end, 3) for end in region.accuracy)
            cells = [value, [low, high], ""]
        rows.append([region.name, region.images, *cells])
    return Table(title=f"Accuracy by {kind}", columns=[Column(name=kind), *numbers, Column(name="")], rows=rows)


def class_table(classes: Sequence[tuple[str, NDArray[np.int64]]]) -> Table:
    """The countries of each class: its name, and how many images it has from each country."""
    names = countries()["name"]
    columns = [
        Column(name="class"),
        Column(name="images of a known country", kind="number"),
        Column(name="most images from"),
        Column(name="share", kind="share"),
        _CI,
        _EFFECTIVE,
    ]
    rows: list[list[Cell]] = []
    for name, counts in classes:
        total, largest = int(counts.sum()), int(counts.argmax())
        cells: list[Cell] = [None, None, None, None]
        if total >= MIN_GROUP:
            value, low, high = (round(end, 3) for end in wilson(int(counts[largest]), total))
            cells = [str(names.iloc[largest]), value, [low, high], round(float(effective_number(counts / total)), 1)]
        rows.append([name, total, *cells])
    return Table(title="Countries of each class, the least balanced first", columns=columns, rows=rows)


def small_percent(share: float) -> str:
    """A share that may be too small for a percentage, and is not 0."""
    return percent(share) if share >= 0.001 else "less than 0.1%"
