"""Edits: each does what its definition says, a list is applied in order, and what is not allowed is refused."""

from __future__ import annotations

import base64
import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.edits.apply_edits import Surroundings, apply_edits
from deeptroubles.methods.edits.kinds import (
    Background,
    Blend,
    Blur,
    Brightness,
    Contrast,
    Corruption,
    Hue,
    Jpeg,
    Mirror,
    Noise,
    Patch,
    Saturation,
    Scale,
    Shift,
    Turn,
    read_edit,
    varied,
)
from deeptroubles.methods.edits.nearest_others import nearest_others
from deeptroubles.methods.edits.response_curve import response_curve, versions
from deeptroubles.methods.transforms.corrupt import corrupt
from deeptroubles.subject import logits_of
from tests.networks import Plain
from tests.photographs import crops

IMAGE = crops(1)[0]
OTHER = crops(2)[1]


def patch(pixels, top=0, left=0):
    """A patch of h x w x 4 numbers from 0 to 255."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return Patch(top=top, left=left, png=base64.b64encode(buffer.getvalue()).decode())


def rounded(image):
    return (image.clamp(0, 1) * 255).round() / 255


def test_no_edit_changes_nothing():
    assert torch.equal(apply_edits(IMAGE, []), IMAGE)
    neutral = [
        Shift(),
        Turn(degrees=0),
        Scale(factor=1),
        Brightness(amount=0),
        Contrast(factor=1),
        Hue(degrees=0),
        Saturation(factor=1),
        Blur(sigma=0),
        Noise(sigma=0),
        Blend(row=0, share=0),
    ]
    around = Surroundings(lambda _: OTHER, lambda _: OTHER, lambda: None)
    assert torch.equal(apply_edits(IMAGE, neutral, around), IMAGE)


def test_a_patch_covers_by_its_opacity_where_it_lies_on_the_image():
    red = np.zeros((4, 6, 4))
    red[..., 0], red[..., 3] = 255, 255
    red[0, :, 3] = 0
    found = apply_edits(IMAGE, [patch(red, top=30, left=-2)])
    expected = IMAGE.clone()
    expected[:, 31:, :4] = torch.tensor([1.0, 0, 0])[:, None, None]
    assert torch.equal(found, expected)
    assert torch.equal(apply_edits(IMAGE, [patch(red, top=40)]), IMAGE)
    half = np.full((1, 1, 4), 128)
    value = 128 / 255
    assert torch.allclose(
        apply_edits(IMAGE, [patch(half)])[:, 0, 0], rounded(IMAGE[:, 0, 0] * (1 - value) + value * value)
    )


def test_a_patch_on_a_grayscale_image_gets_the_luminance():
    white = np.full((2, 2, 4), 255)
    assert (apply_edits(IMAGE[:1], [patch(white)])[0, :2, :2] == 1).all()


def test_hue_is_that_of_colorsys():
    found = apply_edits(IMAGE, [Hue(degrees=100)])
    for y, x in [(0, 0), (5, 7), (31, 31), (16, 2)]:
        h, s, v = colorsys.rgb_to_hsv(*IMAGE[:, y, x].tolist())
        expected = colorsys.hsv_to_rgb((h + 100 / 360) % 1, s, v)
        assert found[:, y, x].tolist() == pytest.approx(expected, abs=0.51 / 255)


def test_closed_forms():
    assert torch.equal(apply_edits(IMAGE, [Shift(down=3, right=0)])[:, 3:], IMAGE[:, :-3])
    assert torch.equal(apply_edits(IMAGE, [Turn(degrees=90)]), torch.rot90(IMAGE, 1, (1, 2)))
    assert torch.equal(apply_edits(IMAGE, [Mirror()]), IMAGE.flip(-1))
    assert torch.equal(apply_edits(IMAGE, [Mirror(axis="vertical")] * 2), IMAGE)
    assert torch.equal(apply_edits(IMAGE, [Brightness(amount=0.2)]), rounded(IMAGE + 0.2))
    mean = IMAGE.mean((1, 2), keepdim=True)
    assert torch.allclose(apply_edits(IMAGE, [Contrast(factor=2)]), (2 * IMAGE - mean).clamp(0, 1), atol=0.51 / 255)
    gray = apply_edits(IMAGE, [Saturation(factor=0)])
    assert torch.equal(gray[0], gray[2])
    fog = corrupt(IMAGE[None], "fog", 3, seed=5)[0]
    assert torch.equal(apply_edits(IMAGE, [Corruption(name="fog", severity=3, seed=5)]), rounded(fog))


def test_noise_has_its_deviation_and_a_seed():
    gray = torch.full((3, 64, 64), 0.5)
    noise = [apply_edits(gray, [Noise(sigma=0.1, seed=seed)]) for seed in (0, 0, 1)]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])
    assert float((noise[0] - gray).std()) == pytest.approx(0.1, abs=0.003)


def test_jpeg_is_that_of_pillow():
    buffer = io.BytesIO()
    Image.fromarray((IMAGE * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=30)
    expected = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1) / 255
    assert torch.allclose(apply_edits(IMAGE, [Jpeg(quality=30)]), expected)


def test_other_images_are_blended_and_lend_their_background():
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:20, 8:20] = True
    around = Surroundings(lambda _: OTHER, lambda _: OTHER, lambda: mask)
    assert torch.equal(apply_edits(IMAGE, [Blend(row=1, share=1)], around), OTHER)
    found = apply_edits(IMAGE, [Background(row=1)], around)
    assert torch.equal(found, torch.where(mask, IMAGE, OTHER))
    with pytest.raises(UsageError, match="first"):
        apply_edits(IMAGE, [Mirror(), Background(row=1)], around)
    with pytest.raises(UsageError, match="mask"):
        apply_edits(IMAGE, [Background(row=1)], Surroundings(lambda _: OTHER, lambda _: OTHER, lambda: None))


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "turn", "degrees": 1000},
        {"kind": "turn", "degrees": float("nan")},
        {"kind": "jpeg", "quality": 0},
        {"kind": "corruption", "name": "rain", "severity": 1},
        {"kind": "blur", "sigma": 1, "more": 2},
        {"kind": "nothing"},
        {},
    ],
)
def test_what_is_not_allowed_is_refused(values):
    with pytest.raises(UsageError, match="not allowed"):
        read_edit(values)


def test_a_patch_that_is_no_png_is_refused():
    for text in ("!", base64.b64encode(b"GIF89a").decode(), ""):
        with pytest.raises(UsageError, match="PNG"):
            apply_edits(IMAGE, [Patch(top=0, left=0, png=text)])


def test_a_parameter_is_varied():
    assert varied(Jpeg(quality=5), "quality", 19.6) == Jpeg(quality=20)
    assert versions([Mirror(), Turn(degrees=1)], 1, "degrees", [0, 90])[1] == (Mirror(), Turn(degrees=90))
    for wrong in ("axis", "kind", "nothing"):
        with pytest.raises(UsageError, match="no number"):
            varied(Mirror(), wrong, 1)
    with pytest.raises(UsageError, match="index"):
        versions([], 0, "x", [1])


def test_a_response_curve_is_one_look_per_value():
    classifier = Classifier(Plain().eval(), size=32)
    lists = versions([Brightness(amount=0)], 0, "amount", [-0.5, 0, 0.5])
    found = response_curve(classifier, IMAGE, lists, [2, 0])
    for row, edits in zip(found, lists, strict=True):
        expected = logits_of(classifier, apply_edits(IMAGE, edits)[None]).softmax(1)[0, [2, 0]]
        assert row.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_nearest_others_are_those_of_a_slow_search():
    random = np.random.default_rng(0)
    vectors, vector, allowed = random.normal(size=(50, 7)), random.normal(size=7), random.random(50) < 0.5
    rows, distances = nearest_others(vector, vectors, allowed, 4)
    slow = sorted((float(((vectors[i] - vector) ** 2).sum() ** 0.5), i) for i in range(50) if allowed[i])[:4]
    assert rows.tolist() == [i for _, i in slow]
    assert distances.tolist() == pytest.approx([d for d, _ in slow])
    assert len(nearest_others(vector, vectors, np.zeros(50, dtype=bool), 3)[0]) == 0
