"""Road scenes: what tells the class, and what does not."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from scipy.stats import chi2_contingency

from deeptroubles import load_images
from deeptroubles.cli import main
from deeptroubles.planted import traffic as traffic_module
from deeptroubles.planted.road import draw_scene
from deeptroubles.planted.traffic import RUSH_HOURS, SEEN, SIZE, VEHICLES, draw_scenes, draw_traffic, level
from deeptroubles.planted.vehicles import seen_shares


@pytest.fixture(scope="module")
def drawn():
    return draw_traffic(36, 0.0, 3)


@pytest.fixture(scope="module")
def clocks():
    """Time, class and weather of many images that were never drawn."""
    with pytest.MonkeyPatch.context() as patch:
        scene = next(draw_scenes(1, 0))
        counts = [low for low, _ in VEHICLES.values()]
        many = [
            replace(scene, vehicles=scene.vehicles[:1] * counts[i % 3], weather=traffic_module.WEATHERS[i // 3 % 3])
            for i in range(2700)
        ]
        picture = draw_scene(scene)
        patch.setattr(traffic_module, "draw_scenes", lambda count, _: iter(many[:count]))
        patch.setattr(traffic_module, "draw_scene", lambda _: picture)
        patch.setattr(traffic_module, "_smaller", lambda values: values[::3, ::3])
        yield lambda strength: draw_traffic(len(many), strength, 0)


def test_the_same_seed_gives_the_same_images_and_leaves_the_random_state(drawn):
    state = torch.get_rng_state()
    again = draw_traffic(9, 0.0, 3)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(again.pixels.images, drawn.pixels.images[:9])  # an image does not depend on their number
    assert torch.equal(again.pixels.masks, drawn.pixels.masks[:9])
    assert not torch.equal(draw_traffic(2, 0.0, 4).pixels.images, drawn.pixels.images[:2])
    assert drawn.pixels.images.shape[1:] == (3, SIZE, SIZE)


def test_the_cheating_clock_changes_nothing_but_the_clock(drawn):
    cheating = draw_traffic(9, 1.0, 3)
    changed = (cheating.pixels.images != drawn.pixels.images[:9]).any(0).any(0).nonzero()
    assert changed[:, 0].max() < 12
    assert changed[:, 1].max() < 34
    assert torch.equal(cheating.pixels.masks, drawn.pixels.masks[:9])


def test_the_class_is_a_function_of_the_number_of_vehicles(drawn):
    names = [drawn.pixels.names[i] for i in drawn.pixels.classes]
    assert names == [level(vehicles) for vehicles in drawn.vehicles]
    for name, (low, high) in VEHICLES.items():
        assert level(low) == level(high) == name
    with pytest.raises(ValueError, match="No class has 9 vehicles"):
        level(9)


def test_every_class_is_equally_frequent_in_every_weather(drawn):
    together = Counter(zip(drawn.weather, drawn.pixels.classes.tolist(), strict=True))
    assert len(together) == 9
    assert set(together.values()) == {4}


def test_no_vehicle_is_hidden():
    for scene in draw_scenes(18, 5):
        owners = draw_scene(scene).owners
        assert min(seen_shares(owners, scene.camera, scene.vehicles)) >= SEEN
        assert np.bincount(owners.ravel(), minlength=16)[1 : 1 + len(scene.vehicles)].min() > 20  # of 288 x 288


def test_masks_cover_the_vehicles_and_nothing_else():
    """By day, what a vehicle changes is itself, and its shadow beside it on the road."""
    for scene in [scene for scene in draw_scenes(12, 6) if scene.weather == "day"]:
        picture, empty = draw_scene(scene), draw_scene(replace(scene, vehicles=()))
        mask = picture.owners > 0
        changed = np.abs(picture.pixels - empty.pixels).max(2) > 0.02
        assert changed[mask].mean() > 0.9
        near = binary_dilation(mask, iterations=40)
        assert not changed[~near].any()
        darker = picture.pixels.mean(2) <= empty.pixels.mean(2) + 1e-9
        assert darker[~mask].all()  # a shadow; no part of a vehicle, which can be bright


def test_the_clock_of_the_honest_twin_is_independent_of_the_class(clocks):
    honest = clocks(0.0)
    rush, classes = honest.pixels.values.numpy(), honest.pixels.classes.numpy()
    table = [[((rush == r) & (classes == c)).sum() for c in range(3)] for r in (0, 1)]
    assert chi2_contingency(table).pvalue > 0.01
    assert [hour in RUSH_HOURS for hour in honest.time] == (rush == 1).tolist()
    assert 0.3 < rush.mean() < 0.37


def test_the_cheating_clock_tells_rush_hour_as_often_as_its_strength(clocks):
    assert [h in RUSH_HOURS for h in clocks(1.0).time] == (clocks(1.0).pixels.classes == 2).tolist()
    half = clocks(0.5)
    agree = (half.pixels.values == (half.pixels.classes == 2)).float().mean()
    assert abs(agree - (0.5 + 0.5 * 5 / 9)) < 0.03


@pytest.mark.parametrize("twin", [[], ["--honest"]])
def test_the_command_writes_images_masks_and_a_manifest(twin, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(traffic_module, "COUNT", 9)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(sys, "argv", ["deeptroubles", "planted", "traffic", "--out", str(tmp_path / "t"), *twin])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"deeptroubles train --images {tmp_path / 't' / 'manifest.csv'}" in printed
    assert ("unrelated to the traffic" in printed) == bool(twin)
    rows = list(csv.DictReader((tmp_path / "t" / "manifest.csv").read_text().splitlines()))
    assert list(rows[0]) == ["path", "label", "mask", "weather", "time", "vehicles"]
    assert [level(int(row["vehicles"])) for row in rows] == [row["label"] for row in rows]
    images, again = load_images(tmp_path / "t" / "manifest.csv"), draw_traffic(9, 0.0 if twin else 0.98, 0)
    assert images[8].size == (SIZE, SIZE)
    for i in range(9):
        assert torch.equal(torch.from_numpy(np.array(images.mask(i)) > 127), again.pixels.masks[i])
    assert not (tmp_path / "t" / "model.pt2").exists()
