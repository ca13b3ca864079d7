from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.attacks import occlusion_gain
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.occlusion import hide, window_grid
from tests.networks import Plain, formula

SIZE = (12, 15)
WINDOW = 3


@pytest.fixture
def weights():
    return torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def images():
    return torch.rand(4, 1, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def linear(weights):
    def answer(x):
        logit = (x * weights).sum((1, 2, 3)) * 0.3
        return torch.stack([logit, torch.zeros_like(logit)], 1)

    return formula(answer, SIZE)


@pytest.fixture
def network():
    return Classifier(Plain(), size=(20, 24), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.2])


def pictures(count):
    return torch.rand(count, 3, 20, 24, generator=torch.Generator().manual_seed(2))


def test_on_a_linear_model_greedy_is_sorting(linear, images, weights):
    """Windows tile the image, so that each one's gain is the same whatever else is hidden."""
    boxes = window_grid(SIZE, WINDOW, WINDOW)[0]
    found = occlusion_gain(linear, images, 0, steps=3, window=WINDOW)
    for row, image in enumerate(images):
        part = (image * weights)[0]
        gains = np.array(
            [-0.3 * float(part[top:bottom, left:right].sum()) for top, left, bottom, right in boxes.tolist()]
        )
        best = np.argsort(-gains)[:3]
        assert gains[best].min() > 0
        assert found.windows[row].tolist() == boxes[best].tolist()
        logits = float(part.sum()) * 0.3 + np.r_[0, gains[best].cumsum()]
        np.testing.assert_allclose(found.probability[row], 1 / (1 + np.exp(-logits)), atol=1e-6)
        single = 1 / (1 + np.exp(-(logits[0] + gains)))
        np.testing.assert_allclose(found.first[row].flatten(), single, atol=1e-6)


def test_the_map_of_single_windows_has_the_grids_rows_and_columns(linear, images):
    assert occlusion_gain(linear, images, 0, window=WINDOW).first.shape == (4, 4, 5)
    assert occlusion_gain(linear, images, 0, window=WINDOW, stride=2).first.shape == (4, 6, 7)


@pytest.mark.parametrize("target", [0, 1, 2, 3, None])
def test_probabilities_never_fall(network, target):
    found = occlusion_gain(network, pictures(5), target, steps=4)
    assert found.probability.shape == (5, 5)
    assert (found.probability.diff(dim=1) >= 0).all()
    assert (found.probability.diff(dim=1) > 0).any()


def test_the_images_are_those_with_the_recorded_windows_hidden(network):
    images = pictures(3)
    found = occlusion_gain(network, images, 1, steps=3)
    network.eval()
    for row, image in enumerate(images):
        hidden = image
        for step, box in enumerate(found.windows[row]):
            assert box.any() == (found.probability[row, step + 1] > found.probability[row, step])
            if box.any():
                hidden = hide(hidden, box[None], network.mean[0])[0]
            with torch.no_grad():
                probability = network(hidden[None]).softmax(1)[0, 1]
            assert torch.isclose(probability, found.probability[row, step + 1], atol=1e-6)
        assert torch.equal(hidden, found.images[row])


def test_it_stops_when_nothing_helps(images):
    """Only the left half speaks, and only for the class: there is nothing to gain."""
    shown = []

    def answer(x):
        shown.append(len(x))
        logit = x[..., :7].sum((1, 2, 3))
        return torch.stack([logit, torch.zeros_like(logit)], 1)

    classifier = formula(answer, SIZE)
    shown.clear()
    found = occlusion_gain(classifier, images, 0, steps=3, window=WINDOW)
    assert sum(shown) == 4 + 4 * 20  # the images, and every window once: nothing is tried again
    assert not found.windows.any()
    assert torch.equal(found.images, images)
    assert torch.equal(found.probability, found.probability[:, :1].expand(-1, 4))


def test_one_image_stops_while_another_goes_on(linear, images, weights):
    images[0] = (weights > 0).float()  # everything that is there speaks for the class
    found = occlusion_gain(linear, images, 0, steps=3, window=WINDOW)
    alone = [occlusion_gain(linear, image, 0, steps=3, window=WINDOW) for image in images]
    assert not found.windows[0].any()
    assert all(window.any() for window in found.windows[1:].flatten(0, 1))
    for row, single in enumerate(alone):
        assert torch.equal(found.windows[row], single.windows[0])
        torch.testing.assert_close(found.probability[row], single.probability[0])


def test_an_image_of_the_hiding_color_gains_nothing(network):
    """Hiding what is hidden already changes nothing, whatever the last bits of the answers say."""
    images = network.mean.expand(3, 3, 20, 24).clone()
    for target in range(4):
        assert not occlusion_gain(network, images, target, batch_size=7).windows.any()


def test_without_steps_only_the_answer_is_given(linear, images):
    found = occlusion_gain(linear, images, 0, steps=0, window=WINDOW)
    assert found.probability.shape == (4, 1)
    assert found.windows.shape == (4, 0, 4)
    assert torch.equal(found.images, images)


def test_the_argument_is_left_as_it_was(linear, images):
    before = images.clone()
    occlusion_gain(linear, images, 0, window=WINDOW)
    assert torch.equal(images, before)


@pytest.mark.parametrize("grid", [{"window": 13}, {"window": 0}, {"window": 3, "stride": 4}, {"stride": 0}], ids=str)
def test_a_grid_that_leaves_pixels_out_is_refused(linear, images, grid):
    with pytest.raises(UsageError, match="does not cover"):
        occlusion_gain(linear, images, 0, **grid)
