"""Corruptions against the published definitions, written down once more with other libraries."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian

from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.corrupt import CORRUPTIONS, EXTRA, MAIN, SEVERITIES, corrupt, corrupt_each
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.scale import scale
from deeptroubles.methods.transforms.shared import corruption_blur as blur
from deeptroubles.methods.transforms.shared.corruption_digital import displaced, smooth
from deeptroubles.methods.transforms.shared.corruption_weather import plasma

SIZE = (70, 90)
ALL = pytest.mark.parametrize("name", CORRUPTIONS)


def photograph(channels=3, size=SIZE, seed=0):
    """Smooth random colors, multiples of 1/255, 1 x C x H x W."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).random((channels, *size)), (0, 3, 3))
    values = (values - values.min()) / np.ptp(values)
    return torch.from_numpy(np.round(values * 255) / 255).float()[None]


def array(images):
    return images[0].double().numpy().transpose(1, 2, 0)


def test_there_are_fifteen_and_four():
    assert len(MAIN) == 15
    assert len(EXTRA) == 4
    assert all(len(c.large) == len(c.small) == 5 for c in CORRUPTIONS.values())


@ALL
@pytest.mark.parametrize(("channels", "size"), [(3, SIZE), (1, SIZE), (3, (28, 28)), (1, (32, 41))])
def test_what_holds_for_all(name, channels, size):
    images = torch.cat([photograph(channels, size, seed) for seed in (1, 2)])
    before, state = images.clone(), torch.get_rng_state()
    for severity in (1, 5):
        found = corrupt(images, name, severity, seed=3)
        assert found.shape == images.shape
        assert found.dtype == images.dtype
        assert found.min() >= 0
        assert found.max() <= 1
        assert torch.equal(found, corrupt(images, name, severity, seed=3))
        assert torch.equal(found[1:], corrupt(images[1:], name, severity, seed=4))  # however batches are cut
        assert name == "saturate" or not torch.equal(found, images)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_published_strength(severity):
    gray = torch.full((1, 1, 200, 200), 0.5)
    index = severity - 1
    # A mean of 40,000 draws is within 4 standard errors of what is expected.
    for name, stds in (
        ("gaussian_noise", (0.08, 0.12, 0.18, 0.26, 0.38)),
        ("speckle_noise", (0.075, 0.1, 0.175, 0.225, 0.3)),
    ):
        below = float((corrupt(gray, name, severity) < 0.5 - stds[index]).float().mean())
        assert abs(below - 0.158655) < 4 * math.sqrt(0.1587 * 0.8413 / 40000)
    photons = (60, 25, 12, 5, 3)[index]
    shot = corrupt(gray, "shot_noise", severity) * photons
    assert torch.allclose(shot, shot.round(), atol=1e-4)
    none = float((shot < 0.5).float().mean())
    assert abs(none - math.exp(-photons / 2)) < 4 * math.sqrt(math.exp(-photons / 2) / 40000) + 1e-4
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[index]
    hit = corrupt(gray, "impulse_noise", severity)
    assert set(hit.unique().tolist()) == {0.0, 0.5, 1.0}
    for value in (0, 1):
        assert abs(float((hit == value).float().mean()) - share / 2) < 4 * math.sqrt(share / 2 / 40000)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_colors_follow_the_formulas(severity):
    images = photograph()
    x, index = array(images), severity - 1
    mean = x.mean((0, 1))
    factor = (0.4, 0.3, 0.2, 0.1, 0.05)[index]
    np.testing.assert_allclose(array(corrupt(images, "contrast", severity)), (x - mean) * factor + mean, atol=1e-6)
    hsv = rgb2hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.1, 0.2, 0.3, 0.4, 0.5)[index], 0, 1)
    np.testing.assert_allclose(array(corrupt(images, "brightness", severity)), hsv2rgb(hsv), atol=1e-6)
    times, plus = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[index]
    hsv = rgb2hsv(x)
    hsv[..., 1] = np.clip(hsv[..., 1] * times + plus, 0, 1)
    np.testing.assert_allclose(array(corrupt(images, "saturate", severity)), hsv2rgb(hsv), atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_files_and_boxes_are_those_of_pillow(severity, tmp_path):
    images = photograph()
    picture = Image.fromarray(np.round(array(images) * 255).astype(np.uint8))
    picture.save(tmp_path / "x.jpg", quality=(25, 18, 15, 10, 7)[severity - 1])
    saved = np.asarray(Image.open(tmp_path / "x.jpg")) / 255
    np.testing.assert_allclose(array(corrupt(images, "jpeg_compression", severity)), saved, atol=1e-6)
    factor = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    small = picture.resize((int(90 * factor), int(70 * factor)), Image.Resampling.BOX)
    boxes = np.asarray(small.resize((90, 70), Image.Resampling.BOX)) / 255
    np.testing.assert_allclose(array(corrupt(images, "pixelate", severity)), boxes, atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_equals_scikit_image_and_opencv(severity):
    images = photograph()
    x, index = array(images), severity - 1
    expected = gaussian(x, sigma=(1, 2, 3, 4, 6)[index], channel_axis=2)
    np.testing.assert_allclose(array(corrupt(images, "gaussian_blur", severity)), expected, atol=1e-6)
    radius, alias = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[index]
    reach, size = (8, 3) if radius <= 8 else (radius, 5)
    steps = np.arange(-reach, reach + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.float64)
    kernel = cv2.GaussianBlur(disk / disk.sum(), ksize=(size, size), sigmaX=alias)
    np.testing.assert_allclose(array(corrupt(images, "defocus_blur", severity)), cv2.filter2D(x, -1, kernel), atol=1e-6)


def test_zoom_blur_is_the_mean_of_scipys_zooms():
    images = photograph(size=(80, 80))
    x = array(images)

    def zoomed(factor):
        side = math.ceil(80 / factor)
        top = (80 - side) // 2
        large = ndimage.zoom(x[top : top + side, top : top + side], (factor, factor, 1), order=1)
        top = (len(large) - 80) // 2
        return large[top : top + 80, top : top + 80]

    factors = np.arange(1, 1.21, 0.02)
    expected = (x + sum(zoomed(f) for f in factors)) / (len(factors) + 1)
    np.testing.assert_allclose(array(corrupt(images, "zoom_blur", 3)), expected, atol=1e-6)


def test_a_streak_is_a_sum_of_shifted_images():
    x = array(photograph())
    weights = np.exp(-(np.arange(9) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    level = ndimage.correlate1d(x, np.r_[np.zeros(8), weights], axis=1, mode="nearest")
    upright = ndimage.correlate1d(x, np.r_[np.zeros(8), weights], axis=0, mode="nearest")
    np.testing.assert_allclose(blur.streak(x, 4, 2.0, 0), level, atol=1e-12)
    np.testing.assert_allclose(blur.streak(x, 4, 2.0, 90), upright, atol=1e-12)


def test_glass_moves_pixels_no_farther_than_it_may():
    """Without its Gaussians, every pixel shows one from near by, and what is in the rim stays."""
    height, width = 30, 34
    places = np.arange(height * width, dtype=float).reshape(height, width, 1)
    found = blur.glass_blur(places, np.random.default_rng(0), 0.0, 2, 1)[..., 0]
    rows, columns = np.divmod(found.astype(int), width)
    assert np.array_equal(found[:3], places[:3, :, 0])
    moved = np.abs(rows - np.arange(height)[:, None]).max(), np.abs(columns - np.arange(width)).max()
    assert 0 < max(moved) <= 2 * 8  # a pixel can be passed on, but hardly often
    assert (found != places[..., 0]).mean() > 0.5


@pytest.mark.parametrize(("reach", "rounds"), [(1, 2), (2, 1), (4, 2)])
def test_glass_equals_a_loop_over_pixels(reach, rounds):
    height, width = 30, 34
    places = np.arange(height * width, dtype=float).reshape(height, width, 1)
    random, expected = np.random.default_rng(5), np.arange(height * width)
    order = [y * width + x for y in range(height - reach, reach, -1) for x in range(width - reach, reach, -1)]
    for _ in range(rounds):
        for place, (right, down) in zip(order, random.integers(-reach, reach, (len(order), 2)), strict=True):
            expected[place] = expected[place + right + down * width]
    found = blur.glass_blur(places, np.random.default_rng(5), 0.0, reach, rounds)
    assert np.array_equal(found.ravel(), expected)


def test_colors_of_gray_and_black_pixels_follow_scikit_image():
    """Gray has no hue, and black no saturation either; scikit-image takes red and 0."""
    levels = torch.tensor([0.0, 0.25, 1.0]).repeat_interleave(200)
    grays = levels.view(1, 1, 20, 30).expand(1, 3, 20, 30).repeat(1, 1, 2, 1)
    grays[..., 20:, :] = photograph(size=(20, 30))
    for severity, (times, plus, more) in zip((4, 5), ((2, 0.1, 0.2), (2.5, 0.2, 0.3)), strict=True):
        hsv = rgb2hsv(array(grays))
        brighter = hsv2rgb(np.stack([*np.moveaxis(hsv, -1, 0)[:2], np.clip(hsv[..., 2] + more, 0, 1)], axis=-1))
        hsv[..., 1] = np.clip(hsv[..., 1] * times + plus, 0, 1)
        np.testing.assert_allclose(array(corrupt(grays, "saturate", severity)), hsv2rgb(hsv), atol=1e-6)
        np.testing.assert_allclose(array(corrupt(grays, "brightness", severity)), brighter, atol=1e-6)


def test_displacing_equals_scipys_map_coordinates():
    random, planes = np.random.default_rng(0), array(photograph(size=(30, 43))).transpose(2, 0, 1).copy()
    down, right = random.normal(0, 20, (2, 30, 43))  # far out of the image too
    places = np.mgrid[:30, :43] + np.stack([down, right])
    expected = [ndimage.map_coordinates(plane, places, order=1, mode="reflect") for plane in planes]
    np.testing.assert_allclose(displaced(planes, down, right), expected, atol=1e-12)


@ALL
def test_each_image_gets_its_own_severity_and_seed(name):
    images = torch.cat([photograph(seed=i) for i in range(3)])
    found = corrupt_each(images, name, [5, 1, 3], [7, 7, 2])
    for i, (severity, seed) in enumerate([(5, 7), (1, 7), (3, 2)]):
        assert torch.equal(found[i : i + 1], corrupt(images[i : i + 1], name, severity, seed=seed))


def test_plasma_is_in_range_and_smoother_with_more_decay():
    rough, calm = (plasma(64, decay, np.random.default_rng(0)) for decay in (1.4, 3.0))
    for heights in (rough, calm):
        assert heights.min() == 0
        assert heights.max() == 1
    assert np.abs(np.diff(calm, axis=0)).mean() < np.abs(np.diff(rough, axis=0)).mean()


def test_fog_keeps_the_brightest_value_as_bound():
    images = photograph() * 0.5
    found = corrupt(images, "fog", 1)
    expected = (array(images) + 1.5 * plasma(128, 2, np.random.default_rng(0))[:70, :90, None]) * 0.5 / 2.0
    np.testing.assert_allclose(array(found), expected, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 1.3, 20.0])
def test_smoothing_equals_scipys_filter(sigma):
    values = np.random.default_rng(0).uniform(-1, 1, (30, 43))
    expected = ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=3)
    np.testing.assert_allclose(smooth(values, sigma), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["gaussian_noise", "impulse_noise", "defocus_blur", "fog", "contrast", "pixelate"])
def test_harder_severities_change_more(name):
    images = photograph(size=(224, 224))
    changes = [float((corrupt(images, name, s) - images).square().mean()) for s in SEVERITIES]
    assert changes == sorted(changes)


def test_small_images_get_the_numbers_of_cifar():
    small, large = (torch.full((1, 1, side, side), 0.5) for side in (64, 65))
    assert abs(float(corrupt(small, "gaussian_noise", 5).std()) - 0.10) < 0.01
    assert float(corrupt(large, "gaussian_noise", 5).std()) > 0.25


def test_wrong_arguments_are_told():
    with pytest.raises(UsageError, match="Did you mean snow"):
        corrupt(photograph(), "snov", 1)
    with pytest.raises(UsageError, match="choose 1 to 5"):
        corrupt(photograph(), "snow", 6)
    for images in (torch.zeros(1, 3, 27, 40), torch.zeros(1, 4, 40, 40), torch.zeros(3, 40, 40)):
        with pytest.raises(UsageError, match="1 or 3 channels and at least 28"):
            corrupt(images, "snow", 1)


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 5])
def test_quarter_rotations_of_squares_are_exact(quarters):
    images = photograph(size=(9, 9))
    assert torch.equal(rotate(images, 90 * quarters), torch.rot90(images, quarters, (-2, -1)))
    wide = photograph(size=(8, 11))
    assert torch.equal(rotate(wide, 180 * quarters), torch.rot90(wide, 2 * quarters, (-2, -1)))


@pytest.mark.parametrize("degrees", [-30, 10, 45, 100])
@pytest.mark.parametrize(("border", "flag"), [("black", cv2.BORDER_CONSTANT), ("mirror", cv2.BORDER_REFLECT_101)])
def test_rotation_equals_opencv(degrees, border, flag):
    images = photograph(size=(40, 52))
    matrix = cv2.getRotationMatrix2D((25.5, 19.5), degrees, 1)
    expected = cv2.warpAffine(array(images).astype(np.float32), matrix, (52, 40), borderMode=flag)
    # OpenCV rounds positions to 1/32 of a pixel.
    slope = max(float(images.diff(dim=-1).abs().max()), float(images.diff(dim=-2).abs().max()))
    inside = np.abs(array(rotate(images, degrees, border)) - expected)[8:-8, 8:-8]
    assert inside.max() <= 2 / 32 * slope + 1e-3 or border == "black"
    assert inside.mean() < 1 / 32 * slope


def test_scaling_a_ramp_scales_its_slope():
    ramp = torch.linspace(0, 1, 41).expand(1, 1, 31, 41)
    centered = torch.arange(41) - 20.0
    for factor in (0.5, 0.8, 2.0):
        middle = slice(14, 27)
        expected = 0.5 + centered / factor / 40
        assert torch.allclose(scale(ramp, factor)[0, 0, 15, middle], expected[middle], atol=1e-5)
    assert torch.equal(scale(ramp, 1), ramp)
    with pytest.raises(UsageError, match="above 0"):
        scale(ramp, 0)


def test_each_image_is_blurred_by_its_own_sigma():
    images = torch.cat([photograph(seed=i) for i in range(3)])
    found = gaussian_blur(images, torch.tensor([0.0, 0.8, 2.0]))
    assert torch.equal(found[0], images[0])
    for i, sigma in ((1, 0.8), (2, 2.0)):
        expected = gaussian(array(images[i : i + 1]), sigma=sigma, channel_axis=2)
        np.testing.assert_allclose(array(found[i : i + 1]), expected, atol=1e-5)


@ALL
def test_it_never_crashes(name):
    """All severities, several sizes and seeds; spatter, whose drops differ most between seeds, with more of them."""
    for height, width in [(28, 28), (32, 32), (65, 65), (28, 70)]:
        for seed in range(16 if name == "spatter" else 2):
            pixels = torch.rand(1, (1, 3)[seed % 2], height, width, generator=torch.Generator().manual_seed(seed))
            for image in (pixels, pixels * 0) if seed < 1 else (pixels,):
                for severity in range(1, 6):
                    changed = corrupt(image, name, severity, seed=seed)
                    assert changed.isfinite().all()
                    assert 0 <= changed.min() <= changed.max() <= 1
