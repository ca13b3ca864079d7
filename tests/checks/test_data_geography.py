from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from deeptroubles import ImageSet, Verdict, audit, load_images
from deeptroubles.findings import WorldMap
from deeptroubles.methods.geography.countries import countries
from deeptroubles.methods.geography.distribution_distance import distribution_distance
from deeptroubles.statistics.group_gap import largest_gap
from tests.networks import formula

SHARES = (countries()["internet"] / countries()["internet"].sum()).to_numpy()
CODES = countries().index.to_numpy()


def by_brightness():
    """Says class 1 of bright images and class 0 of dark ones."""
    return formula(lambda x: torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.5], 1), size=4)


def images(places, right, **columns):
    """Alternating images of two classes, some of them misclassified."""
    labels = np.arange(len(right)) % 2
    bright = np.where(right, labels, 1 - labels).astype(np.uint8) * 255
    pixels = np.repeat(bright, 16).reshape(-1, 4, 4)
    return ImageSet.from_arrays(pixels, [str(i) for i in labels], {"country": places, **columns})


def like_the_world(count, seed=0):
    return np.random.default_rng(seed).choice(CODES, count, p=SHARES)


def planted():
    """Nearly all from the United States, and wrong on half of those from India."""
    places = np.array(["US"] * 540 + ["IN"] * 60)
    right = np.array([True] * 540 + [True, True, False, False] * 15)
    return by_brightness(), images(places, right)


def clean():
    """From all over the world, and equally often wrong everywhere."""
    places = like_the_world(1200)
    right = np.ones(1200, dtype=bool)
    right[np.argsort(places, kind="stable")[::25]] = False
    return by_brightness(), images(places, right)


def ask(images, classifier=None):
    (finding,) = audit(classifier or by_brightness(), images, checks=["data.geography"]).findings
    return finding


def test_its_numbers_are_those_of_the_images():
    finding = ask(planted()[1])
    assert "90% (" in finding.claim
    assert "the United States" in finding.claim
    assert "accuracy is 50% on images from Central and Southern Asia and 100% on those" in finding.claim
    american, indian = SHARES[CODES == "US"].item(), SHARES[CODES == "IN"].item()
    assert finding.evidence[0].value == pytest.approx(1 - american - min(0.1, indian))


def test_one_place_without_labels_is_still_too_narrow():
    narrow = ImageSet.from_arrays(np.zeros((200, 4, 4), np.uint8), None, {"country": ["de"] * 200})
    finding = ask(narrow)
    assert finding.verdict == Verdict.FAIL
    assert any("Accuracy was not compared" in caveat for caveat in finding.caveats)


def test_a_gap_alone_fails():
    places = like_the_world(1500)
    regions = countries()["region"].to_dict()
    right = np.array([regions[p] != "Europe" or i % 2 == 0 for i, p in enumerate(places)])
    finding = ask(images(places, right))
    assert finding.verdict == Verdict.FAIL
    assert "from Europe" in finding.claim


def test_false_alarms_are_no_more_frequent_than_said():
    """300 data sets drawn from internet users, with 80% accuracy everywhere; intervals miss on one side in 2.5%."""
    rng, regions = np.random.default_rng(1), countries()["region"].to_numpy()
    far, gaps = 0, 0
    for seed in range(300):
        counts = rng.multinomial(300, SHARES)
        far += distribution_distance(counts, SHARES, seed=seed, resamples=300).distance.low > 0
        trials = np.array([counts[regions == region].sum() for region in np.unique(regions)])
        trials = trials[trials >= 30]
        gaps += largest_gap(rng.binomial(trials, 0.8), trials).size.low > 0
    low, high = stats.binom.ppf([0.005, 0.995], 300, 0.025)
    assert low <= far <= high
    assert gaps <= stats.binom.ppf(0.995, 300, 0.05)  # intervals of all pairs together are on the wide side


def test_world_like_sets_pass_whatever_the_seed():
    for seed in range(5):
        finding = ask(images(like_the_world(400, seed), np.arange(400) % 20 != 0))
        assert finding.verdict in {Verdict.PASS, Verdict.INCONCLUSIVE}, finding.claim


def test_no_verdict_where_most_places_are_unknown():
    places = [*(["US"] * 90), *([None] * 110)]
    finding = ask(images(places, np.ones(200, dtype=bool)))
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "Inconclusive: the country of 90 of 200" in finding.claim
    assert ask(images(["US"] * 29, np.ones(29, dtype=bool))).verdict == Verdict.INCONCLUSIVE


def test_it_is_skipped_where_nothing_says_a_place():
    finding = ask(ImageSet.from_arrays(np.zeros((40, 4, 4), np.uint8)))
    assert finding.verdict == Verdict.SKIPPED
    assert "`lat` and `lon`" in finding.claim


def test_bad_entries_are_reported_and_the_rest_counts():
    places = ["usa", "Us", "DEU", "Atlantis", "Congo", None] + ["fr"] * 54
    latitude, longitude = np.full(60, np.nan), np.full(60, np.nan)
    latitude[3:6], longitude[3:6] = [120.0, 0.0, -33.9], [10.0, -30.0, 151.2]
    finding = ask(images(places, np.ones(60, dtype=bool), lat=latitude, lon=longitude))
    text = " ".join(finding.caveats)
    assert "58 of 60 images is known (57 from the column `country`, 1 from coordinates)" in text
    assert "2 entries name no country, or more than one ('Atlantis', 'Congo')" in text
    assert "1 of 3 coordinates are out of range" in text
    assert "may be swapped" in text
    assert "1 of 3 coordinates are not in or near a country" in text


def test_few_images_of_a_group_are_too_few_to_say():
    places = ["US"] * 100 + ["NG"] * 29
    finding = ask(images(places, np.array([True] * 100 + [False] * 29)))
    tables = {table.title: table for table in finding.evidence if table.kind == "table"}
    rows = {row[0]: row for row in tables["Accuracy by country"].rows}
    assert rows["Nigeria"][1:] == [29, None, None, "too few images"]
    assert rows["United States"][2] == 1.0
    assert any("Accuracy was not compared" in caveat for caveat in finding.caveats)


def test_photographs_tell_by_their_gps_position(tmp_path):
    for i in range(40):
        exif = Image.Exif()
        exif[0x8825] = {1: "S", 2: (33.0, 55.0, 12.0), 3: "W", 4: (18.0 if i else 170.0, 25.0, 0.0)}
        exif[0x8825][3] = "E" if i else "W"
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.jpg", exif=exif)
    finding = ask(load_images(str(tmp_path)))
    assert "South Africa" in finding.claim
    text = " ".join(finding.caveats)
    assert "39 of 40 images is known (39 from GPS positions in files)" in text
    assert "1 of 40 GPS positions are not in or near a country" in text


def test_small_groups_can_fail_but_do_not_widen_what_is_ruled_out():
    places = np.array(["CN"] * 400 + ["DE"] * 400 + ["NG"] * 40)
    right = np.tile([True, True, True, True, False], 168)
    label = "Largest accuracy gap between regions"
    (two,) = (e for e in ask(images(places[:800], right[:800])).evidence if getattr(e, "label", "") == label)
    (three,) = (e for e in ask(images(places, right)).evidence if getattr(e, "label", "") == label)
    assert (two.low, two.high) == (three.low, three.high)
    assert two.high < 0.2
    assert any(
        "to rule out a gap: Sub-Saharan Africa and lower middle" in c for c in ask(images(places, right)).caveats
    )
    right[800:] = False
    (failing,) = (e for e in ask(images(places, right)).evidence if getattr(e, "label", "") == label)
    assert failing.low > 0.2


def test_the_maps_hold_the_numbers():
    finding = ask(planted()[1])
    shares, accuracy = (e for e in finding.evidence if isinstance(e, WorldMap))
    by_code = {country.code: country for country in shares.countries}
    assert set(by_code) == {"US", "IN"}
    assert by_code["US"].value == pytest.approx(np.log2(0.9 / SHARES[CODES == "US"].item()), abs=1e-3)
    assert by_code["IN"].value < 0
    assert {c.code: c.value for c in accuracy.countries} == {"US": 1.0, "IN": 0.5}
    compared = next(e for e in finding.evidence if e.kind == "table" and e.title.startswith("Compared"))
    assert compared.rows[0][1:3] == [0.9, 0.1]
    assert compared.rows[-2][1:3] == [0.45, 0.03]
