"""The table of countries: codes, names, regions, income groups, population, internet users."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_name("countries.csv")


@cache
def countries() -> pd.DataFrame:
    """The countries and territories of ISO 3166-1 and Kosovo (XK), indexed by two-letter code, in alphabetical order.

    Columns: `alpha3`, `name`, `aliases` (separated by |), `region` (of the United Nations' development goals),
    `income` (the World Bank's group, '' where there is none), `population`, `internet` (users, in people). The
    head of the file gives sources and years; numbers of internet users are rounded, and only good for comparing shares.
    """
    # Only empty cells are missing: "NA" is Namibia.
    table = pd.read_csv(TABLE, comment="#", keep_default_na=False, index_col="code")
    table["internet"] = table["internet"] / 100 * table["population"]
    return table


def country_code(text: str) -> str | None:
    """The two-letter code of a country, given its code (two or three letters, any case) or English name.

    Overseas territories that the borders draw as part of a country (Réunion, Svalbard, ...) count as that country.

    Returns:
        The code, or None if the text names no country, or more than one ("Congo", "Korea").
    """
    return _codes().get(text.strip().casefold()) or _names().get(_plain(text))


@cache
def _codes() -> dict[str, str]:
    table = countries()
    pairs = [*zip(table.index, table.index, strict=True), *zip(table["alpha3"], table.index, strict=True)]
    return {text.casefold(): code for text, code in pairs}


@cache
def _names() -> dict[str, str]:
    table = countries()
    names = [(name, code) for code, name in table["name"].items()]
    names += [(alias, code) for code, aliases in table["aliases"].items() for alias in aliases.split("|") if alias]
    return {_plain(name): str(code) for name, code in names}


def _plain(text: str) -> str:
    """Letters and digits only, without accents, case, and optional words."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()
    words = re.findall(r"[a-z0-9]+", letters.replace("'", "").replace(".", ""))
    return " ".join(word for word in words if word not in {"the", "and"})
