from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeptroubles import Classifier, occlusion
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.occlusion import hide, mean_over_windows, occlusion_scores, window_grid
from tests.networks import Plain, formula

SIZE = (20, 24)
GRIDS = [(None, None), (5, None), (6, 4), (7, 7), (7, 3), (20, 20), (1, 1)]


@pytest.fixture
def classifier():
    return Classifier(Plain(), size=SIZE, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


@pytest.fixture
def images():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def averaged(drops, boxes, size):
    """The mean over the windows that cover a pixel, pixel by pixel."""
    found = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            found[y, x] = np.mean(
                [
                    d
                    for d, (top, left, bottom, right) in zip(drops, boxes, strict=True)
                    if top <= y < bottom and left <= x < right
                ]
            )
    return found


@pytest.mark.parametrize("fill", [None, 0.25])
@pytest.mark.parametrize(("window", "stride"), [(4, 3), (5, 5), (3, 1)])
def test_a_linear_classifier_in_closed_form(window, stride, fill):
    random = torch.Generator().manual_seed(0)
    weights, image = torch.randn(2, 1, 11, 13, generator=random), torch.rand(1, 11, 13, generator=random)
    linear = formula(lambda x: torch.einsum("nchw,kchw->nk", x, weights), (11, 13))
    part = (weights[1] * (image - (fill or 0)))[0]  # the mean color of this classifier is 0
    boxes = window_grid((11, 13), window, stride)[0].tolist()
    drops = [float(part[top:bottom, left:right].sum()) for top, left, bottom, right in boxes]
    found = occlusion(linear, image, 1, window=window, stride=stride, fill=fill)
    np.testing.assert_allclose(found[0], averaged(drops, boxes, (11, 13)), atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), GRIDS[1:4])
def test_it_equals_a_slow_loop(classifier, images, window, stride):
    stride = stride or window // 2
    classifier.eval()
    boxes, drops = [], []
    mean = classifier.mean[0].expand(3, *SIZE)
    top = 0
    while True:
        left = 0
        while True:
            box = (top, left, min(top + window, SIZE[0]), min(left + window, SIZE[1]))
            hidden = images[0].clone()
            hidden[:, box[0] : box[2], box[1] : box[3]] = mean[:, box[0] : box[2], box[1] : box[3]]
            with torch.no_grad():
                drops.append(float((classifier(images[:1]) - classifier(hidden[None]))[0, 2]))
            boxes.append(box)
            if left + window >= SIZE[1]:
                break
            left += stride
        if top + window >= SIZE[0]:
            break
        top += stride
    found = occlusion(classifier, images[0], 2, window=window, stride=stride)
    np.testing.assert_allclose(found[0], averaged(drops, boxes, SIZE), atol=1e-5)


@pytest.mark.parametrize("fill", [None, 0.3])
@pytest.mark.parametrize(("window", "stride"), [(5, 2), (6, 4), (7, 7), (7, 3), (20, 20)])
def test_it_equals_captum(classifier, images, window, stride, fill):
    captum = pytest.importorskip("captum.attr")
    classifier.eval()
    baseline = classifier.mean.expand(1, 3, *SIZE) if fill is None else fill
    with torch.no_grad():
        theirs = captum.Occlusion(classifier).attribute(
            images, (3, window, window), strides=(3, stride, stride), baselines=baseline, target=1
        )
    ours = occlusion(classifier, images, 1, window=window, stride=stride, fill=fill)
    assert ours.abs().max() > 1e-3  # there is something to compare
    for channel in range(3):  # captum repeats the number for every channel
        torch.testing.assert_close(ours, theirs[:, channel], atol=1e-5, rtol=0)


def test_the_answers_for_all_classes_are_kept(classifier, images):
    scores = occlusion_scores(classifier, images, window=6, stride=4)
    rows, columns = scores.grid
    assert scores.occluded.shape == (2, rows * columns, 4)
    for target in range(4):
        values = scores.clean[:, None, target] - scores.occluded[:, :, target]
        map_ = occlusion(classifier, images, target, window=6, stride=4)
        torch.testing.assert_close(mean_over_windows(values, scores.windows, SIZE), map_)


def test_each_image_can_have_its_own_target(classifier, images):
    both = occlusion(classifier, images, [3, 0], window=7)
    torch.testing.assert_close(both[:1], occlusion(classifier, images[0], 3, window=7))
    torch.testing.assert_close(both[1:], occlusion(classifier, images[1], 0, window=7))


def test_the_batch_size_makes_no_difference(classifier, images):
    one, many = (occlusion(classifier, images, 0, window=7, batch_size=n) for n in (1, 100))
    torch.testing.assert_close(one, many, atol=1e-5, rtol=0)


def test_the_mean_color_hides_by_default(classifier, images):
    default = occlusion(classifier, images, 0, window=6)
    torch.testing.assert_close(default, occlusion(classifier, images, 0, window=6, fill=classifier.mean[0]))
    assert not torch.allclose(default, occlusion(classifier, images, 0, window=6, fill=0.0))


def test_hiding_changes_the_window_and_nothing_else(images):
    (hidden,) = hide(images[0], torch.tensor([[3, 5, 9, 8]]), torch.tensor(0.5))
    assert (hidden[:, 3:9, 5:8] == 0.5).all()
    hidden[:, 3:9, 5:8] = images[0, :, 3:9, 5:8]
    assert torch.equal(hidden, images[0])


sides = st.integers(1, 30)


@given(height=sides, width=sides, data=st.data())
@settings(max_examples=150, deadline=None)
def test_windows_cover_every_pixel_and_stay_inside(height, width, data):
    window = data.draw(st.none() | st.integers(1, min(height, width)))
    stride = data.draw(st.none() | st.integers(1, window or max(1, min(height, width) // 7)))
    windows, (rows, columns) = window_grid((height, width), window, stride)
    assert len(windows) == rows * columns == len(set(map(tuple, windows.tolist())))
    covered = np.zeros((height, width), dtype=int)
    for top, left, bottom, right in windows.tolist():
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        if window:
            assert bottom - top == window or bottom == height
            assert right - left == window or right == width
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1


@given(height=sides, width=sides, value=st.floats(-5, 5, width=32), data=st.data())
@settings(max_examples=50, deadline=None)
def test_constant_values_spread_to_a_constant(height, width, value, data):
    window = data.draw(st.integers(1, min(height, width)))
    stride = data.draw(st.integers(1, window))
    windows, _ = window_grid((height, width), window, stride)
    values = torch.full((2, len(windows)), value, dtype=torch.float64)
    found = mean_over_windows(values, windows, (height, width))
    assert found.shape == (2, height, width)
    torch.testing.assert_close(found, torch.full_like(found, value))


@pytest.mark.parametrize(
    "grid",
    [
        {"window": 21},
        {"window": 0},
        {"window": -3},
        {"window": 5, "stride": 6},
        {"window": 5, "stride": 0},
        {"stride": -1},
    ],
    ids=str,
)
def test_a_grid_that_leaves_pixels_out_is_refused(classifier, images, grid):
    with pytest.raises(UsageError, match="does not cover an image of 24 x 20; choose"):
        occlusion(classifier, images, 0, **grid)


@pytest.mark.parametrize("target", [4, -1, [0, 9], [0, 1, 2]])
def test_targets_that_are_no_classes_are_refused(classifier, images, target):
    with pytest.raises(UsageError, match="argets"):
        occlusion(classifier, images, target)
