"""The ground truth: scenes with exact masks, cues of known strength, networks that rely on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deeptroubles.planted import planting
from deeptroubles.planted.cues import CLASSES, CUES, DECOYS, cue_values
from deeptroubles.planted.networks import ARCHITECTURES
from deeptroubles.planted.planting import draw, image_set, plant
from deeptroubles.planted.scenes import GROUNDS, SHAPES, TEXTURES, draw_parts, grid, render

CLASS_OF = {name: i for i, name in enumerate(SHAPES)}


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("disc", np.pi),
        ("square", (2 * 0.82) ** 2),
        ("cross", 4 * 0.64 - 0.64**2),
        ("ring", np.pi * (0.99**2 - 0.45**2)),
        ("triangle", (1.55**2) / 1.75),
        ("star", np.pi * (0.62**2 + 0.36**2 / 2)),
    ],
)
@pytest.mark.parametrize("size", [32, 96])
def test_masks_have_the_area_of_their_shape(shape, area, size):
    """In units of the squared radius; half a pixel of the outline may be missing."""
    scenes = draw_parts(torch.full((24,), CLASS_OF[shape]), size, 3)
    _, masks = render(scenes)
    radius = scenes.radius * size / 2
    assert torch.allclose(masks.sum((1, 2)) / radius**2, torch.tensor(area).float(), rtol=3.5 / size + 0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_lie_where_the_object_is(shape):
    scenes = draw_parts(torch.full((24,), CLASS_OF[shape]), 64, 4)
    _, masks = render(scenes)
    x, y = grid(64)
    distance = ((x - scenes.center[:, :1, None]) ** 2 + (y - scenes.center[:, 1:, None]) ** 2).sqrt()
    assert (distance[masks].max() - scenes.radius.max()) < 0.17 * scenes.radius.max()  # corners are farthest out
    assert not masks[:, [0, -1]].any()
    assert not masks[:, :, [0, -1]].any()


def test_an_object_has_its_color_inside_its_mask_and_the_background_outside():
    scenes = draw_parts(torch.arange(24) % 6, 32, 5)
    plain = replace(scenes, color=torch.ones(24, 3), texture=torch.zeros(24).long(), ground_color=torch.zeros(24, 2, 3))
    pixels, masks = render(plain)
    assert torch.equal((pixels >= 0.5).all(1), masks)
    inner = -torch.nn.functional.max_pool2d(-masks[:, None].float(), 3, 1, 1)[:, 0] > 0
    assert (pixels.permute(0, 2, 3, 1)[inner] > 0.9).all()  # sharp corners are a little transparent


def test_parts_do_not_depend_on_the_class():
    first, second = draw_parts(torch.zeros(50).long(), 32, 6), draw_parts(torch.arange(50) % 6, 32, 6)
    for part in ("center", "radius", "angle", "color", "texture", "ground", "ground_color"):
        assert torch.equal(getattr(first, part), getattr(second, part)), part
    assert (first.color - first.ground_color.mean(1)).norm(dim=1).min() >= 0.45
    assert set(first.texture.tolist()) == set(range(len(TEXTURES)))
    assert set(first.ground.tolist()) == set(range(len(GROUNDS)))


def test_a_cue_of_strength_1_has_the_value_of_the_class_and_of_0_any():
    classes = torch.arange(8000) % CLASSES
    assert torch.equal(cue_values(classes, 1.0, 0), classes)
    table = torch.zeros(CLASSES, CLASSES).index_put_((classes, cue_values(classes, 0.0, 0)), torch.ones(8000), True)
    expected = 8000 / CLASSES**2
    assert float((table - expected).square().sum() / expected) < 30.6  # chi-square with 15 degrees of freedom at 0.99
    half = (cue_values(classes, 0.5, 0) == classes).float().mean()
    assert abs(float(half) - (0.5 + 0.5 / CLASSES)) < 0.02


@pytest.mark.parametrize("name", [*CUES, *DECOYS])
def test_a_cue_changes_only_its_own_part(name):
    """Strength 1 against strength 0: equal where the values are equal by chance; otherwise only its place differs."""
    cue = (CUES | DECOYS)[name]
    strong, weak = (draw(40, cue, strength, 7) for strength in (1.0, 0.0))
    same = strong.classes == cue_values(strong.classes, 0.0, 7)
    assert 3 < same.sum() < 30
    if name != "background":  # its noise is drawn jointly for each kind of ground
        assert torch.equal(strong.images[same], weak.images[same])
    changed = (strong.images != weak.images).any(1)
    other = ~same if name != "tag" else ~same & ((strong.classes == 0) | (cue_values(strong.classes, 0.0, 7) == 0))
    assert changed[other].any(2).any(1).all()
    if cue.place:
        assert not changed[:, ~cue.place(32)].any()
    if name in {"inner texture", "object color", "object texture"}:
        rim = torch.nn.functional.max_pool2d(strong.masks[:, None].float(), 3, 1, 1)[:, 0] > 0
        assert not changed[~rim].any()
    if name != "position":
        assert torch.equal(strong.masks, weak.masks)
    assert ((strong.images >= 0) & (strong.images <= 1)).all()


@pytest.mark.parametrize("size", [32, 48, 96])
def test_the_place_of_a_cue_is_where_it_is_painted(size):
    for cue in (c for c in CUES.values() if c.place):
        plain, painted = draw(8, None, 0, 1, size), draw(8, cue, 1.0, 1, size)
        changed = (plain.images != painted.images).any(1)
        assert changed.any(0)[cue.place(size)].float().mean() > 0.4
        assert not changed[:, ~cue.place(size)].any()


def test_position_puts_the_object_in_the_quarter_of_its_class():
    drawn = draw(16, CUES["position"], 1.0, 2)
    x, y = grid(32)
    for mask, value in zip(drawn.masks, drawn.classes.tolist(), strict=True):
        assert (x[mask].mean() > 0) == bool(value % 2)
        assert (y[mask].mean() > 0) == bool(value // 2)


def test_a_companion_does_not_hide_the_object():
    drawn, plain = draw(60, CUES["companion"], 1.0, 3), draw(60, None, 0, 3)
    hidden = (drawn.images != plain.images).any(1) & drawn.masks
    assert (hidden.any(2).any(1)).float().mean() < 0.1


def test_drawing_is_decided_by_its_seed_and_gives_8_bits():
    first, second, third = (draw(12, CUES["companion"], 0.7, seed) for seed in (1, 1, 2))
    assert torch.equal(first.images, second.images)
    assert not torch.equal(first.images, third.images)
    images = image_set(first)
    assert torch.equal(torch.from_numpy(np.array(images[3])).permute(2, 0, 1) / 255, first.images[3])
    assert np.array_equal(np.asarray(images.mask(3)) > 0, first.masks[3].numpy())
    assert images.labels[:5] == ["disc", "square", "triangle", "cross", "disc"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_relies_on_the_cue_that_was_planted(architecture, monkeypatch):
    monkeypatch.setattr(planting, "TRAINING", 640)
    monkeypatch.setattr(planting, "VERIFYING", 200)
    monkeypatch.setattr(planting, "AUDITED", 20)
    state = torch.get_rng_state()
    planted = plant("frame", 1.0, architecture, 1)
    assert torch.equal(state, torch.get_rng_state())
    assert planted.aligned > 0.9
    assert planted.reliance > 0.5
    assert planted.reliance == planted.aligned - planted.randomized
    assert len(planted.images) == 20
    assert not planted.classifier.module.training
    assert all(p.grad is None for p in planted.classifier.parameters())


def test_the_same_seed_plants_the_same_network(monkeypatch):
    monkeypatch.setattr(planting, "TRAINING", 64)
    monkeypatch.setattr(planting, "VERIFYING", 8)
    first, second = (plant(None, 0, "plain", 3).classifier.fingerprint() for _ in range(2))
    assert first == second
    assert first != plant(None, 0, "plain", 4).classifier.fingerprint()
