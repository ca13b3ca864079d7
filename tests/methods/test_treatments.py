"""Treatments of whole images: amounts, identities, and equal strengths."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles.methods.reliance.treatments import STEPS, TREATMENTS, amount_for, change, treat, treatments_for
from tests.photographs import crops, textures

IDENTITIES = {
    **dict.fromkeys(("sharpening", "noise", "dark corners"), 0.0),
    **dict.fromkeys(
        ("a red cast", "a green cast", "a blue cast", "a cyan cast", "a magenta cast", "a yellow cast"), 0.0
    ),
    **dict.fromkeys(("darkening", "brightening", "a lower contrast", "a higher contrast"), 1.0),
    **dict.fromkeys(("faded colors", "strong colors", "a lower resolution"), 1.0),
}
"""Amounts that change nothing."""


@pytest.mark.parametrize("name", TREATMENTS)
def test_a_larger_amount_changes_more(name):
    images = crops(8)
    changes = [change(images, name, amount) for amount in TREATMENTS[name].amounts]
    assert changes[0] > 0
    assert changes == sorted(changes)


@pytest.mark.parametrize(("name", "amount"), IDENTITIES.items())
def test_an_amount_of_nothing_changes_nothing(name, amount):
    images = crops(4)
    assert (treat(images, name, amount) - images).abs().max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("name", TREATMENTS)
def test_treated_images_have_eight_bits(name):
    treated = treat(textures(4), name, TREATMENTS[name].amounts[-1])
    assert treated.shape == (4, 3, 32, 32)
    assert treated.min() >= 0
    assert treated.max() <= 1
    assert torch.equal((treated * 255).round() / 255, treated)


@pytest.mark.parametrize("name", TREATMENTS)
def test_the_amount_of_a_strength_is_the_nearest_of_the_grid(name):
    images = crops(6)
    weakest, *_, strongest = TREATMENTS[name].amounts
    grid = np.linspace(weakest + (weakest - strongest) / 4, strongest, STEPS)
    wanted = change(images, name, float(grid[9])) * 1.02
    misses = [abs(change(images, name, float(amount)) - wanted) for amount in grid]
    assert abs(change(images, name, amount_for(images, name, wanted)) - wanted) == pytest.approx(min(misses), abs=1e-7)


def test_casts_keep_the_mean_gain_and_multiply_one_channel():
    images = torch.full((1, 3, 16, 16), 0.4)
    red = treat(images, "a red cast", 0.3)[0, :, 0, 0]
    assert red.mean().item() == pytest.approx(0.4, abs=1 / 255)
    assert (red[0] / red[1]).item() == pytest.approx(1.3, abs=0.02)
    assert red[1] == red[2]


def test_darkening_fading_and_corners_have_closed_forms():
    images = textures(3)
    step = 0.5 / 255 + 1e-6
    assert (treat(images, "darkening", 0.6) - 0.6 * images).abs().max() <= step
    assert (treat(images, "brightening", 0.6) - (1 - 0.6 * (1 - images))).abs().max() <= step
    faded = treat(images, "faded colors", 0.0)
    assert torch.equal(faded[:, 0], faded[:, 2])
    dark = treat(torch.ones(1, 3, 33, 33), "dark corners", 0.7)[0, 0]
    assert dark[16, 16] == 1
    assert dark[0, 0].item() == pytest.approx(0.3, abs=step)
    assert dark[0, 16].item() == pytest.approx(0.65, abs=step)


@pytest.mark.parametrize("channels", [1, 3])
def test_compression_is_that_of_a_jpeg_file(channels):
    image = textures(1, channels=channels)
    pixels = (image[0] * 255).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=25)
    read = torch.from_numpy(np.array(Image.open(file))).view(32, 32, -1).permute(2, 0, 1).float() / 255
    assert torch.equal(treat(image, "JPEG compression", 25)[0], read)


def test_only_color_images_get_treatments_of_color():
    assert set(treatments_for(3)) == set(TREATMENTS)
    assert all(t.sort != "color" for t in treatments_for(1).values())
    assert "JPEG compression" in treatments_for(1)
    assert "JPEG compression" not in treatments_for(2)
