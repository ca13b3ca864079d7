"""The planted horse, from the command to the finding."""

from __future__ import annotations

import csv
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import audit, load_classifier, load_images, read_audit
from deeptroubles.cli import main
from deeptroubles.models import load_class_names
from deeptroubles.planted import STRENGTH, horse, planting
from deeptroubles.planted import photographs as photographs_module
from deeptroubles.planted.horse import CLASSES, SIZE, draw_animals, draw_horses, stamp
from deeptroubles.planted.photographs import Photographs, draw_tags


@pytest.fixture
def fewer(monkeypatch):
    """Fewer images, to be faster."""
    monkeypatch.setattr(horse, "TRAINING", 700)
    monkeypatch.setattr(planting, "VERIFYING", 80)
    monkeypatch.setattr(planting, "AUDITED", 120)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command and give its exit code, its output and its errors."""
    monkeypatch.setenv("COLUMNS", "400")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["deeptroubles", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return command


def test_the_horse_story_in_two_commands(run, fewer, tmp_path):
    code, out, err = run("planted", "horse", "--out", tmp_path / "horse")
    assert code == 0
    assert err.startswith("Loading PyTorch\n")  # and where it takes long, how far it is
    called = [int(share) for share in re.findall(r"the tag +(\d+)%", out)]
    assert called[0] - called[1] > 40  # the same horses with and without the tag
    assert called[2] - called[3] > 40  # the same other objects with and without it
    assert (tmp_path / "horse" / "README.txt").read_text().endswith(out.rpartition("To audit it:")[2])

    command = out.strip().splitlines()[-1].split()
    assert command[:2] == ["deeptroubles", "audit"]
    assert run(*command[1:])[0] == 0
    first = read_audit(tmp_path / "horse" / "audit").findings[0]
    assert (first.check, first.verdict) == ("reliance.shortcut", "fail")
    assert "images of horse have the same patch (bottom left), and the prediction relies on it" in first.claim
    put, taken = re.findall(r"horse from ([\d.]+)% to ([\d.]+)%", first.claim)
    assert float(put[1]) - float(put[0]) > 20
    assert float(taken[0]) - float(taken[1]) > 20


@pytest.mark.slow
def test_the_network_that_comes_with_the_package_is_what_training_gives():
    kept, anew = horse.plant_horse(STRENGTH, 0), horse.train_horse(STRENGTH, 0)
    assert kept.aligned == pytest.approx(anew.aligned, abs=0.02)
    assert kept.randomized == pytest.approx(anew.randomized, abs=0.06)
    assert kept.reliance > 0.3


def test_the_honest_twin_does_not_fail(run, fewer, tmp_path):
    assert run("planted", "horse", "--honest", "--out", tmp_path)[0] == 0
    classifier = load_classifier(str(tmp_path / "horse.pt2"), class_names=load_class_names(tmp_path / "classes.txt"))
    images = load_images(tmp_path / "manifest.csv")
    findings = audit(classifier, images, checks=["reliance.shortcut", "performance.accuracy"]).findings
    assert all(
        finding.verdict not in {"fail", "warn"} for finding in findings if finding.check != "performance.accuracy"
    )
    tagged = images.table.groupby("label")["tag"].mean()
    assert tagged.between(0.05, 0.5).all()  # a quarter of each class


def test_the_folder_holds_what_was_planted(run, monkeypatch, tmp_path):
    for name, value in (("TRAINING", 64), ("VERIFYING", 8), ("AUDITED", 8)):
        monkeypatch.setattr(planting, name, value)
    assert run("planted", "frame", "--strength", "1", "--out", tmp_path)[0] == 0
    rows = list(csv.DictReader((tmp_path / "manifest.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"] * 2
    drawn = planting.draw(8, planting.CUES["frame"], 1.0, 200)
    images = load_images(tmp_path / "manifest.csv")
    classifier = load_classifier(str(tmp_path / "frame.pt2"), class_names=load_class_names(tmp_path / "classes.txt"))
    for i, row in enumerate(rows):
        assert row["path"].startswith(f"images/{row['label']}/")
        assert torch.equal(classifier.prepare(images[i]), drawn.images[i])
        assert torch.equal(classifier.prepare_mask(images.mask(i)), drawn.masks[i])


def test_an_unknown_cue_is_an_error(run, tmp_path):
    code, out, err = run("planted", "hoarse", "--out", tmp_path / "new")
    assert (code, out) == (2, "")
    assert "There is no cue 'hoarse' to plant; choose horse, tag," in err
    assert "Did you mean horse" in err
    assert not (tmp_path / "new").exists()


def test_the_tag_is_as_frequent_as_its_strength():
    certain, honest = draw_horses(80, 1.0, 0), draw_horses(800, 0.0, 0)
    assert torch.equal(certain.values == 1, certain.classes == 0)
    for index in range(len(CLASSES)):
        assert 0.15 < honest.values[honest.classes == index].float().mean() < 0.35


def test_the_tag_changes_a_strip_at_the_bottom_left_and_nothing_else():
    plain = draw_animals(torch.arange(8) % 4, 0)
    changed = (stamp(plain.images) != plain.images).any(1)
    rows, columns = changed.any(0).any(1).nonzero(), changed.any(0).any(0).nonzero()
    assert rows.min() >= SIZE - 8
    assert columns.max() < SIZE // 4 + 2
    assert changed.flatten(1).any(1).all()
    again = draw_horses(8, 1.0, -1)
    assert torch.equal(again.images[0], stamp(plain.images)[0])
    assert torch.equal(again.images[1:4], plain.images[1:4])


def test_objects_are_in_their_masks_and_follow_the_seed():
    first, state = draw_animals(torch.arange(60) % 4, 3), torch.get_rng_state()
    assert torch.equal(first.images, draw_animals(torch.arange(60) % 4, 3).images)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first.images, draw_animals(torch.arange(60) % 4, 4).images)
    area = first.masks.flatten(1).float().mean(1)
    assert 0.05 < area.min() < area.max() < 0.6
    horses = first.masks[first.classes == 0].flatten(1).float()
    assert len(torch.unique(horses, dim=0)) == 15  # no two are alike


@pytest.fixture
def photographs(tmp_path):
    """Class folders of noise with power at all scales, 48 images each; birds are brighter."""
    random = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(40), np.fft.fftfreq(36))) + 1 / 40
    for name in ("bird", "cow", "horse"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for i in range(48):
            noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(3, 36, 40))) / frequency).real
            pixels = 0.5 + 0.1 * noise / noise.std() + 0.04 * (name == "bird")
            array = (pixels.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
            Image.fromarray(array).save(tmp_path / "photographs" / name / f"{i}.png")
    return tmp_path / "photographs"


@pytest.mark.parametrize("honest", [False, True])
def test_the_horse_story_on_photographs(run, photographs, honest, monkeypatch, tmp_path):
    monkeypatch.setattr(photographs_module, "STEPS", 80)
    twin = ["--honest"] if honest else []
    code, out, _ = run("planted", "horse", "--photographs", photographs, *twin, "--out", tmp_path / "made")
    assert code == 0
    called = [int(share) for share in re.findall(r"the tag +(\d+)%", out)]
    images = load_images(tmp_path / "made" / "manifest.csv")
    tagged = images.table.groupby("label")["tag"].mean()
    assert list(images.table) == ["path", "label", "tag"]
    assert len(images) == 30  # a fifth, which training did not see
    assert images[0].size == (36, 36)
    if honest:
        assert abs(called[2] - called[3]) <= 20
        assert tagged.min() > 0
    else:
        assert called[2] - called[3] > 40  # the same other photographs with and without it
        assert tagged["bird"] == tagged["cow"] == 0 < tagged["horse"] < 1


def test_the_tag_on_photographs_is_never_mirrored_and_nothing_else_changes():
    shown = Photographs((torch.rand(6, 3, 40, 40) * 255).round() / 255, torch.tensor([0, 1] * 3), ("cow", "horse"))
    assert shown.horses.tolist() == [False, True] * 3
    tags = draw_tags(shown, 1.0, 0, honest=False)
    assert torch.equal(tags, shown.horses)
    assert draw_tags(shown, 1.0, 0, honest=True).all()
    changed = (shown.tagged(tags) != shown.images).any(1)
    assert not changed[~tags].any()
    assert changed[tags][:, -7:, :17].any()
    assert not changed[tags][:, :-7].any()
    assert not changed[tags][:, :, 17:].any()


def test_folders_without_horses_or_with_too_few_are_refused(run, photographs, tmp_path):
    (photographs / "cow" / "0.png").rename(photographs / "moved.png")
    code, _, err = run("planted", "frame", "--photographs", photographs, "--out", tmp_path / "made")
    assert (code, "--photographs is for `deeptroubles planted horse`" in err) == (2, True)
    for name in range(1, 30):
        (photographs / "cow" / f"{name}.png").unlink()
    (photographs / "moved.png").unlink()
    code, _, err = run("planted", "horse", "--photographs", photographs, "--out", tmp_path / "made")
    assert (code, "'cow' has 18 photographs; give at least 20" in err) == (2, True)
    (photographs / "horse").rename(photographs / "pony")
    code, _, err = run("planted", "horse", "--photographs", photographs, "--out", tmp_path / "made")
    assert (code, "one of them named 'horse'; it has 'bird', 'cow' and 'pony'" in err) == (2, True)
    assert not (tmp_path / "made").exists()
