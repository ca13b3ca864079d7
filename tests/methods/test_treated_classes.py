"""Classes whose images were treated: planted treatments are named, and the traces are what they say."""

from __future__ import annotations

import pytest
import torch
from scipy.fft import dctn
from scipy.stats import kurtosis

from deeptroubles.methods.reliance.shared.traces import _LAPLACE, _detail, _small_coefficients, traces
from deeptroubles.methods.reliance.treated_classes import treated_classes
from deeptroubles.methods.reliance.treatments import TREATMENTS, treat
from tests.photographs import crops, textures

CLASSES = torch.arange(3).repeat_interleave(20)
PLANTED = [("JPEG compression", 10), ("blur", 1.3), ("a red cast", 0.8)]


def treated(images, name, amount, rows=slice(20, 40)):
    images = images.clone()
    images[rows] = treat(images[rows], name, amount)
    return images


@pytest.mark.parametrize(("name", "amount"), PLANTED)
def test_the_treatment_of_one_class_is_found(name, amount):
    found = treated_classes(treated(textures(60), name, amount), CLASSES)
    assert found[0].target == 1
    assert set(found[0].rows) <= set(range(20, 40))
    assert len(found[0].rows) >= 16
    assert TREATMENTS[found[0].name].sort == TREATMENTS[name].sort
    own = next(f for f in found if (f.target, f.name) == (1, name))
    assert own.score > 0.5 * found[0].score


@pytest.mark.parametrize("seed", range(2))
def test_images_that_were_not_treated_show_nothing(seed):
    assert treated_classes(textures(60, seed=seed), CLASSES) == []


def test_a_treatment_of_all_images_is_not_typical_of_one_class():
    images = treat(textures(60), "JPEG compression", 15)
    assert treated_classes(images, CLASSES) == []


def test_small_coefficients_are_those_of_the_discrete_cosine_transform():
    gray = crops(3, size=35).mean(1)
    shares = []
    for image in gray.double().numpy():
        blocks = [255 * image[i : i + 8, j : j + 8] for i in range(0, 25, 8) for j in range(0, 25, 8)]
        shares.append(sum((abs(dctn(block, norm="ortho")) < 1.5).mean() for block in blocks) / len(blocks))
    assert _small_coefficients(gray).tolist() == pytest.approx(shares, abs=2e-3)


def test_fine_detail_stands_out_as_its_kurtosis_says():
    """The detail has a mean of nearly zero, so that its moments are central ones."""
    gray = textures(4).mean(1)
    fine = torch.nn.functional.conv2d(gray[:, None], _LAPLACE).flatten(1).numpy()
    expected = kurtosis(fine, axis=1, fisher=False)
    assert _detail(gray)[:, -1].exp().numpy() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [16, 33])
def test_traces_are_finite_for_all_sizes_and_constant_images(channels, size):
    images = torch.cat([textures(3, size=size, channels=channels), torch.zeros(1, channels, size, size)])
    found = traces(images)
    assert torch.isfinite(found).all()
    assert torch.allclose(found[2:3], traces(images[2:3]), atol=1e-5)
