"""Places, and their distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deeptroubles.methods.geography.countries import countries, country_code
from deeptroubles.methods.geography.country_at import country_at
from deeptroubles.methods.geography.distribution_distance import (
    distribution_distance,
    effective_number,
    log2_ratio,
    total_variation,
)
from deeptroubles.methods.geography.places import places
from deeptroubles.statistics.group_gap import largest_gap
from deeptroubles.statistics.intervals import Interval
from deeptroubles.statistics.multinomial import multinomial

KNOWN = [
    ("Zurich", 47.37, 8.54, "CH"),
    ("Geneva", 46.20, 6.15, "CH"),
    ("Strasbourg", 48.58, 7.75, "FR"),
    ("Copenhagen", 55.68, 12.57, "DK"),
    ("Malmo", 55.60, 13.00, "SE"),
    ("Lisbon", 38.72, -9.14, "PT"),
    ("Windsor, Ontario", 42.30, -83.02, "CA"),
    ("Detroit", 42.35, -83.06, "US"),
    ("Honolulu", 21.31, -157.86, "US"),
    ("Anchorage", 61.22, -149.90, "US"),
    ("Nuuk", 64.18, -51.72, "GL"),
    ("La Paz", -16.50, -68.15, "BO"),
    ("Rio de Janeiro", -22.91, -43.17, "BR"),
    ("Ushuaia", -54.80, -68.30, "AR"),
    ("Kinshasa", -4.32, 15.31, "CD"),
    ("Brazzaville", -4.27, 15.27, "CG"),
    ("Maseru, enclosed by South Africa", -29.31, 27.48, "LS"),
    ("Bloemfontein", -29.12, 26.21, "ZA"),
    ("Banjul", 13.45, -16.58, "GM"),
    ("San Marino", 43.94, 12.45, "SM"),
    ("Singapore", 1.29, 103.85, "SG"),
    ("Dili", -8.56, 125.57, "TL"),
    ("Port Louis", -20.16, 57.50, "MU"),
    ("Valletta", 35.90, 14.51, "MT"),
    ("Manama", 26.22, 50.58, "BH"),
    ("Male", 4.18, 73.51, "MV"),
    ("Suva, west of 180 degrees", -18.14, 178.44, "FJ"),
    ("Taveuni, at 180 degrees", -16.85, -179.97, "FJ"),
    ("Wrangel, east of 180 degrees", 71.20, -179.50, "RU"),
    ("Apia", -13.83, -171.77, "WS"),
    ("Reunion counts as France", -21.10, 55.50, "FR"),
    ("Tokyo", 35.68, 139.69, "JP"),
    ("Taipei", 25.03, 121.57, "TW"),
    ("Pristina", 42.66, 21.17, "XK"),
    ("the South Pole", -90.0, 0.0, "AQ"),
    ("a quay in Venice", 45.43, 12.34, "IT"),
    ("10 km off Lisbon", 38.60, -9.50, "PT"),
    ("in the middle of the Atlantic", 0.0, -30.0, ""),
    ("0 and 0", 0.0, 0.0, ""),
    ("the North Pole", 90.0, 0.0, ""),
    ("200 km off California", 34.0, -123.0, ""),
]


@pytest.mark.parametrize(("latitude", "longitude", "code"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN])
def test_known_places_are_in_their_country(latitude, longitude, code):
    assert country_at(np.array([latitude]), np.array([longitude])).tolist() == [code]


def test_many_points_at_once_are_as_one_by_one_and_the_distance_counts():
    latitudes, longitudes = (np.array([k[i] for k in KNOWN] * 2) for i in (1, 2))
    assert country_at(latitudes, longitudes).tolist() == [k[3] for k in KNOWN] * 2
    assert country_at(np.array([34.0]), np.array([-123.0]), within_km=300).tolist() == ["US"]
    assert country_at(np.zeros(0), np.zeros(0)).tolist() == []


def test_distances_go_across_180_degrees():
    """The Semisopochnoi island (52 N, 179.6 E) is the nearest land to a point 60 km away on the other side."""
    for longitude in (179.5, -179.6):
        assert country_at(np.array([52.1]), np.array([longitude]), within_km=70).tolist() == ["US"]
    for longitude in (179.9, -179.9):  # north of Wrangel, which lies across
        assert country_at(np.array([71.75]), np.array([longitude])).tolist() == ["RU"]


def test_the_table_is_whole():
    table = countries()
    assert table.index.is_unique
    assert table["alpha3"].is_unique
    assert {"NA", "XK", "US"} <= set(table.index)
    assert 7.9e9 < table["population"].sum() < 8.3e9
    assert 5.0e9 < table["internet"].sum() < 5.7e9  # the ITU says 5.4 billion for 2023
    assert (table["internet"] <= table["population"]).all()
    assert table.drop(index=["AQ"])["region"].isin(set(table["region"]) - {""}).mean() > 0.98
    assert set(table["income"]) == {"", "low", "lower middle", "upper middle", "high"}
    assert set(table.loc[table["income"] == "", "population"] < 110_000) == {True, False}  # Venezuela, Western Sahara


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("us", "US"),
        ("USA", "US"),
        ("deu", "DE"),
        ("De", "DE"),
        (" gb ", "GB"),
        ("UK", "GB"),
        ("NA", "NA"),
        ("Côte d'Ivoire", "CI"),
        ("cote d’ivoire", "CI"),
        ("Ivory Coast", "CI"),
        ("Turkey", "TR"),
        ("Türkiye", "TR"),
        ("The Gambia", "GM"),
        ("Antigua and Barbuda", "AG"),
        ("South Korea", "KR"),
        ("REU", "FR"),
        ("Congo", None),
        ("Korea", None),
        ("XX", None),
        ("", None),
        ("Guinea", "GN"),
        ("Niger", "NE"),
        ("Nigeria", "NG"),
    ],
)
def test_countries_go_by_codes_and_names(text, code):
    assert country_code(text) == code


def test_yfcc_columns_and_their_accuracy():
    table = pd.DataFrame(
        {"Longitude": ["8.54", "8.54", "", "x"], "Latitude": ["47.37", "47.37", "", "47"], "Accuracy": [16, 1, 16, 16]}
    )
    found = places(table, np.full((4, 2), np.nan))
    assert found.codes.tolist() == ["CH", "", "", ""]
    assert any("too imprecise" in remark for remark in found.remarks)
    assert any("no number" in remark for remark in found.remarks)


def test_swapped_columns_are_suspected():
    table = pd.DataFrame(
        {"lat": [-74.0, -58.4, -70.7], "lon": [40.7, -34.6, -33.4]}
    )  # New York, Buenos Aires, Santiago
    assert any("swapped" in remark for remark in places(table, np.full((3, 2), np.nan)).remarks)


def test_a_name_goes_before_coordinates_and_they_before_gps():
    table = pd.DataFrame({"country": ["FR", None, None], "lat": [47.37, 47.37, np.nan], "lon": [8.54, 8.54, np.nan]})
    found = places(table, np.array([[35.68, 139.69]] * 3))
    assert found.codes.tolist() == ["FR", "CH", "JP"]
    (remark,) = found.remarks
    assert remark.startswith("On 1 of 1 images the named country does not contain the coordinates")


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_equal_shares_are_as_many_countries(count):
    shares = np.append(np.full(count, 1 / count), [0.0, 0.0])
    assert effective_number(shares) == pytest.approx(count)
    assert effective_number(np.array([0.5, 0.25, 0.25])) == pytest.approx(2**1.5)


def test_total_variation_in_closed_form():
    assert total_variation(np.array([1.0, 0, 0]), np.array([0.2, 0.5, 0.3])) == pytest.approx(0.8)
    assert total_variation(np.eye(2), np.array([0.5, 0.5])).tolist() == [0.5, 0.5]


def test_doublings():
    assert log2_ratio(Interval(0.4, 0.1, 0.8), 0.2) == pytest.approx((1.0, -1.0, 2.0))
    assert log2_ratio(Interval(0.0, 0.0, 0.2), 0.2) == (-np.inf, -np.inf, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=2, max_size=12).filter(sum))
def test_multinomial_intervals_are_goodmans(counts):
    """Equations of Goodman 1965, with the quantile of chi-square with one degree of freedom."""
    n, b = sum(counts), stats.chi2.ppf(1 - 0.05 / len(counts), 1)
    for count, interval in zip(counts, multinomial(np.array(counts)), strict=True):
        root = np.sqrt(b * (b + 4 * count * (n - count) / n))
        assert interval.low == pytest.approx((b + 2 * count - root) / (2 * (n + b)), abs=1e-9)
        assert interval.high == pytest.approx((b + 2 * count + root) / (2 * (n + b)), abs=1e-9)


WORLD = (countries()["internet"] / countries()["internet"].sum()).to_numpy()


@pytest.mark.parametrize("mix", [0.0, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("count", [60, 400])
def test_the_interval_of_a_distance_covers_it(mix, count):
    """The images' source is a mixture of the world and of three countries; its distance is known."""
    rng, few = np.random.default_rng(3), np.zeros(len(WORLD))
    few[[10, 50, 200]] = [0.6, 0.3, 0.1]
    source = (1 - mix) * WORLD + mix * few
    truth = float(total_variation(source, WORLD))
    found = [
        distribution_distance(rng.multinomial(count, source), WORLD, seed=i, resamples=300).distance for i in range(100)
    ]
    assert sum(f.low <= truth + 1e-12 and truth <= f.high for f in found) >= 90  # 95 less chance


def test_all_from_one_country_has_a_wide_interval_from_few():
    one = np.zeros(len(WORLD), dtype=np.int64)
    one[0] = 20
    few, many = (
        distribution_distance(one, WORLD, seed=0).distance,
        distribution_distance(one * 50, WORLD, seed=0).distance,
    )
    assert few.low < many.low < many.value == few.value


def test_the_largest_gap_by_hand_and_its_cover():
    gap = largest_gap(np.array([90, 50, 70]), np.array([100, 100, 100]))
    assert (gap.size.value, gap.best, gap.worst) == (pytest.approx(0.4), 0, 1)
    rng, rates, trials = np.random.default_rng(0), np.array([0.9, 0.8, 0.7, 0.85]), np.array([60, 40, 200, 90])
    found = [largest_gap(rng.binomial(trials, rates), trials).size for _ in range(300)]
    assert sum(f.low <= 0.2 <= f.high for f in found) >= 285


def test_two_groups_have_newcombes_interval():
    """The example of Newcombe 1998, table II: 56/70 and 48/80, method 10."""
    gap = largest_gap(np.array([56, 48]), np.array([70, 80])).size
    assert (gap.low, gap.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
