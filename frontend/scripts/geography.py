"""Generates the geographic data: countries.csv and borders.npz of the package, world.json of the page.

    npm install --prefix FOLDER world-atlas@2.0.2 cldr-core@48.2.0 cldr-localenames-full@48.2.0
    python frontend/scripts/geography.py FOLDER

Borders come from Natural Earth 4.1 (public domain), in the version of npm's `world-atlas` (ISC license). Codes, names,
regions and population come from Unicode CLDR 48.2 (Unicode license v3). Shares of internet users and income groups
were written from memory for this file: see below.
"""
# ruff: noqa: INP001

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/deeptroubles/methods/geography"
PAGE = ROOT / "frontend/src/drawing/world.json"

# Percent of people who use the internet (ITU, about 2023), rounded to 5, and the World Bank's income group for its
# fiscal year 2025 (H high, U upper middle, M lower middle, L low, - not classified).
INTERNET_AND_INCOME = """
CN75U IN55M US95H ID70U PK30M NG40M BR85U BD45M RU90H MX80U JP85H ET20L PH75M CD30L EG80M VN80M IR80U TR85U TH90U
DE90H GB95H FR85H TZ30M IT85H ZA75U KE35M MM45M KR95H SD30L CO75U UG15L ES95H DZ75U AR90U IQ80U AF20L CA95H PL85H
MA90M AO40M SA100H UZ90M UA80U GH70M MY95U MZ20L PE80U YE20L VE60- NP50M CM40M CI40M MG20L AU95H NE20L KP0L SY35L
TW95H BF20L ML35L LK50M MW20L ZM30M KZ90U TD15L SN60M CL95H EC75U GT55U RO90H NL95H ZW40M KH60M BJ35M GN35M RW35L
BI10L SO30L SS15L BO70M TN80M BE95H HT40M JO90M CU70U CZ85H DO85U AZ90U SE95H GR85H TJ55M PT85H PG25M AE100H HU90H
HN60M BY90U IL90H SL30L AT95H TG40L CH95H LA65M PY80U LY90U HK95H BG80H NI60M RS85U SV65U ER25L KG90M CG35M SG95H
DK100H TM75U CF10L FI95H SK90H NO100H LR25L PS85M LB85M CR85H IE95H NZ95H GE80U PA80H MR40M HR85H OM95H BA85U MD75U
UY90H MN85U KW100H AL85U PR85H AM80U JM85U NA60U LT90H QA100H GM45L GA75U BW75U LS45M MK85U GW30L IC95H SI90H XK95U
LV90H GQ60U BH100H TL35M TT85H CY90H MU75U EE95H SZ55M DJ65M FJ85U KM35M BT85M SB45M LU100H EH60- SR75U MO90H CV75M
ME90U BN95H MT90H BZ70U BS95H MV85U IS100H VU55M NC85H BB85H PF80H ST60M WS75M GU85H LC75U CW70H AW95H KI55M GD75U
TO60U AG80H VC80U FM40M SC85H AD95H DM80U KN75H
"""
ELSEWHERE = 80
"""For all others, each with fewer than 110,000 people."""
PART_OF = {
    "GP": "FR",
    "MQ": "FR",
    "GF": "FR",
    "RE": "FR",
    "YT": "FR",
    "SJ": "NO",
    "BV": "NO",
    "BQ": "NL",
    "CC": "AU",
    "CX": "AU",
    "TK": "NZ",
}
"""Territories that the borders draw as part of a country get the code of that country."""
NO_CODES = {"AC", "CP", "CQ", "DG", "EA", "IC", "TA", "ZZ"}
"""In CLDR, but not in ISO 3166."""
NO_NUMBERS = {"Kosovo": "XK", "Somaliland": "SO", "N. Cyprus": "CY", "Indian Ocean Ter.": "AU"}
OTHER_NAMES = {
    "US": ["USA", "America", "United States of America"],
    "GB": ["Great Britain", "Britain"],
    "RU": ["Russian Federation"],
    "KR": ["Republic of Korea"],
    "CZ": ["Czech Republic"],
    "VN": ["Viet Nam"],
    "IR": ["Islamic Republic of Iran"],
    "SY": ["Syrian Arab Republic"],
    "CD": ["Democratic Republic of the Congo", "DR Congo"],
    "CG": ["Republic of the Congo"],
    "CV": ["Cabo Verde"],
    "SZ": ["Swaziland"],
    "NL": ["The Netherlands", "Holland"],
    "MK": ["Macedonia"],
    "TZ": ["United Republic of Tanzania"],
    "CI": ["Cote d'Ivoire"],
}
REGIONS = {
    "Northern America": ("021",),
    "Latin America and the Caribbean": ("029", "013", "005"),
    "Europe": ("154", "155", "151", "039"),
    "Northern Africa and Western Asia": ("015", "145"),
    "Sub-Saharan Africa": ("011", "014", "017", "018"),
    "Central and Southern Asia": ("143", "034"),
    "Eastern and South-Eastern Asia": ("030", "035"),
    "Oceania": ("053", "054", "057", "061"),
}
"""The regions of the UN Sustainable Development Goals, by their M49 subregions."""
INCOMES = {"H": "high", "U": "upper middle", "M": "lower middle", "L": "low", "-": ""}
HEADER = """\
# Countries and territories of ISO 3166-1 (and XK, Kosovo). Made by frontend/scripts/geography.py; do not edit.
# code, alpha3, name, aliases, region, population: Unicode CLDR 48.2 (2026; population mostly estimates of the CIA's
# World Factbook and the World Bank for about 2024), Unicode licence v3. Regions: those of the UN's development goals.
# internet: percent of people who use the internet, about 2023, ROUNDED TO 5 and written from memory of the figures of
# the International Telecommunication Union; 80 where nothing is known (places of fewer than 110,000 people).
# income: the World Bank's group for its fiscal year 2025, written from memory. Good for comparing shares; no source to
# quote single countries from.
"""
WIDTH = 1000
"""The width of the page's map, in map units."""


def main(folder: Path) -> None:
    """Write the three files."""
    modules = folder / "node_modules"
    codes, rows = countries(modules)
    lines = ["code,alpha3,name,aliases,region,income,population,internet", *(",".join(map(str, row)) for row in rows)]
    (PACKAGE / "countries.csv").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    known = {row[0] for row in rows}
    fine, coarse = (shapes(modules / f"world-atlas/countries-{scale}.json", codes) for scale in ("50m", "110m"))
    assert set(fine) <= known, set(fine) - known  # noqa: S101
    write_borders(fine)
    write_map(fine, coarse)


def countries(modules: Path) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """A mapping of numeric to two-letter codes, and the rows of the table."""

    def supplement(name: str) -> Any:
        return json.loads((modules / f"cldr-core/supplemental/{name}.json").read_text())["supplemental"][name]

    territories, mappings, parts = map(supplement, ("territoryInfo", "codeMappings", "territoryContainment"))
    localized = json.loads((modules / "cldr-localenames-full/main/en/territories.json").read_text())
    names = localized["main"]["en"]["localeDisplayNames"]["territories"]
    all_codes = [code for code in territories if len(code) == 2 and code not in NO_CODES]
    numbers = {mappings[code]["_numeric"]: code for code in all_codes}
    region_of = {
        code: region for region, subregions in REGIONS.items() for s in subregions for code in parts[s]["_contains"]
    }
    more = {entry[:2]: (int(entry[2:-1]), INCOMES[entry[-1]]) for entry in INTERNET_AND_INCOME.split()}
    rows = []
    for code in sorted(all_codes):
        if code in PART_OF:
            continue
        within = [part for part, whole in PART_OF.items() if whole == code]
        spoken = [names[f"{code}-alt-{kind}"] for kind in ("short", "variant") if f"{code}-alt-{kind}" in names]
        spoken += OTHER_NAMES.get(code, []) + [t for p in within for t in (p, mappings[p]["_alpha3"], names[p])]
        population = sum(int(territories[c]["_population"]) for c in (code, *within))
        internet, income = more.get(code, (ELSEWHERE, ""))
        alpha3 = "XKX" if code == "XK" else mappings[code]["_alpha3"]
        name = names.get(f"{code}-alt-short", names[code]) if code in {"HK", "MO", "MM", "PS"} else names[code]
        rows.append((code, alpha3, name, "|".join(spoken), region_of.get(code, ""), income, population, internet))
    return {number: PART_OF.get(code, code) for number, code in numbers.items()}, rows


def shapes(path: Path, codes: dict[str, str]) -> dict[str, list[NDArray[Any]]]:
    """The closed rings of each country in degrees (longitude, latitude). A ring across 180 degrees continues there."""
    topology = json.loads(path.read_text())
    scale, origin = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    arcs = [np.cumsum(np.array(arc), 0) * scale + origin for arc in topology["arcs"]]
    found: dict[str, list[NDArray[Any]]] = {}
    for country in topology["objects"]["countries"]["geometries"]:
        code = codes.get(country.get("id", "")) or NO_NUMBERS.get(country["properties"]["name"])
        if code is None or "arcs" not in country:
            continue  # the Siachen Glacier and the remaining Indian Ocean territories
        polygons = country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]
        for indices in (ring for polygon in polygons for ring in polygon):
            pieces = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
            ring = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
            crosses = np.abs(np.diff(ring[:, 0])).max() > 180 and np.abs(ring[:, 1]).max() < 85
            if crosses:
                ring[ring[:, 0] < 0, 0] += 360
            found.setdefault(code, []).append(ring)
    return dict(sorted(found.items()))


def write_borders(fine: dict[str, list[NDArray[Any]]]) -> None:
    """Write rings as differences in thousandths of a degree (at most 111 m), which compress well."""
    rings = [np.rint(ring * 1000).astype(np.int32) for group in fine.values() for ring in group]
    owner = [i for i, group in enumerate(fine.values()) for _ in group]
    steps = np.concatenate([np.diff(ring, axis=0, prepend=np.zeros((1, 2), np.int32)) for ring in rings])
    np.savez_compressed(
        PACKAGE / "borders.npz",
        codes=np.array(list(fine)),
        owner=np.array(owner, dtype=np.int16),
        lengths=np.array([len(ring) for ring in rings], dtype=np.int32),
        steps=steps,
    )


def write_map(fine: dict[str, list[NDArray[Any]]], coarse: dict[str, list[NDArray[Any]]]) -> None:
    """Write SVG paths in the equal-area projection Equal Earth, and dots for countries too small for a path."""
    edge = equal_earth(np.array([[180.0, 0.0]]))[0, 0]
    north, south = (equal_earth(np.array([[0.0, latitude]]))[0, 1] for latitude in (84, -57))
    scale = WIDTH / (2 * edge)

    def place(ring: NDArray[Any]) -> NDArray[Any]:
        points = equal_earth(ring)
        return np.rint(np.stack([(points[:, 0] + edge) * scale, (north - points[:, 1]) * scale], 1) * 2) / 2

    drawn, dots = {}, {}
    for code, group in coarse.items():
        if code == "AQ":
            continue
        paths = [path_of(place(part)) for ring in group for part in at_180(ring)]
        drawn[code] = "".join(paths)
    for code, group in fine.items():
        if code in drawn or code == "AQ":
            continue
        largest = max(group, key=lambda ring: np.ptp(ring, axis=0).prod())
        middle = largest[:-1].mean(0)
        middle[0] = (middle[0] + 180) % 360 - 180
        x, y = place(middle[None])[0]
        dots[code] = [float(x), float(y)]
    height = float(np.ceil((north - south) * scale))
    world = {"width": WIDTH, "height": height, "countries": drawn, "dots": dots}
    PAGE.write_text(json.dumps(world, separators=(",", ":")).replace(".0,", ",").replace(".0]", "]") + "\n")


def at_180(ring: NDArray[Any]) -> list[NDArray[Any]]:
    """Split a ring that continues beyond 180 degrees there."""
    if ring[:, 0].max() <= 180:
        return [ring]
    return [cut(ring, before=True), cut(ring, before=False) - [360, 0]]


def cut(ring: NDArray[Any], *, before: bool) -> NDArray[Any]:
    """Clip a ring at 180 degrees (I. Sutherland, G. Hodgman: Reentrant polygon clipping, CACM 1974)."""
    kept: list[NDArray[Any]] = []
    for start, end in pairwise(ring):
        inside = [(point[0] <= 180) == before for point in (start, end)]
        if inside[0]:
            kept.append(start)
        if inside[0] != inside[1]:
            kept.append(start + (end - start) * (180 - start[0]) / (end[0] - start[0]))
    return np.array([*kept, kept[0]])


def equal_earth(degrees: NDArray[Any]) -> NDArray[Any]:
    """Project degrees (B. Savric, T. Patterson, B. Jenny: The Equal Earth map projection, IJGIS 2019, eq. 9 to 11)."""
    longitude, latitude = np.radians(degrees).T
    a, b, c, d = 1.340264, -0.081106, 0.000893, 0.003796
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(latitude))
    slope = 9 * d * theta**8 + 7 * c * theta**6 + 3 * b * theta**2 + a
    x = 2 * np.sqrt(3) / 3 * longitude * np.cos(theta) / slope
    return np.stack([x, theta * (d * theta**8 + c * theta**6 + b * theta**2 + a)], 1)


def path_of(points: NDArray[Any]) -> str:
    """A closed path of relative steps without zero steps; empty if fewer than three points remain."""
    moves = np.concatenate([[True], np.abs(np.diff(points, axis=0)).sum(1) > 0])
    kept = points[moves]
    if len(kept) < 4:
        return ""
    start, steps = kept[0], np.diff(kept[:-1], axis=0)
    return f"M{short(start[0])},{short(start[1])}l" + " ".join(f"{short(x)},{short(y)}" for x, y in steps) + "z"


def short(number: float) -> str:
    """The shortest text of a number."""
    return f"{number:g}".replace("0.", ".") if abs(number) < 1 else f"{number:g}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
