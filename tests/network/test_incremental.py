from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles import Classifier
from deeptroubles.methods.attribution.occlusion import hidden_logits, hide, window_grid
from deeptroubles.network import HookedNetwork, TracedNetwork, open_network
from deeptroubles.network.incremental import LocalEdits, local_edits
from deeptroubles.network.incremental.program import Program
from deeptroubles.network.incremental.running import Clock, Runner, first_mostly_changed
from deeptroubles.network.incremental.steps import Convolution, LocalStep
from deeptroubles.subject import logits_of
from tests.networks import Plain, Shared, Untraceable

SIZE = (40, 52)


def random_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    for values, low, high in [
        (norm.weight, 0.5, 1.5),
        (norm.bias, -0.2, 0.2),
        (norm.running_mean, -0.2, 0.2),
        (norm.running_var, 0.5, 1.5),
    ]:
        nn.init.uniform_(values, low, high)
    return norm


class Residual(nn.Module):
    """Strides, a shortcut of one kernel tap, and an addition that is fused with the activation."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 8, 7, 2, 3, bias=False), random_norm(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.one = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1),
            random_norm(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1),
            random_norm(8),
        )
        self.two = nn.Sequential(
            nn.Conv2d(8, 12, 3, 2, 1),
            random_norm(12),
            nn.ReLU(inplace=True),
            nn.Conv2d(12, 12, 3, padding=1),
            random_norm(12),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(8, 12, 1, 2, bias=False), random_norm(12))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.relu(self.one(x) + x)
        x = functional.relu(self.two(x) + self.shortcut(x))
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    """Concatenations, normalization before the convolution, average pooling, an uneven padding, dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.norm, self.grow = random_norm(6), nn.Conv2d(6, 4, 3, padding=2, dilation=2)
        self.mix = nn.Conv2d(10, 8, (1, 3), stride=(1, 2))
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.stem(functional.pad(x, (0, 3, 1, 2))))
        x = torch.cat([x, self.grow(torch.relu(self.norm(x)))], 1)
        x = functional.avg_pool2d(functional.pad(x, (1, 1, 0, 1)), 2, padding=1)
        x = functional.max_pool2d(torch.tanh(self.mix(x)), 3, 2, ceil_mode=True)
        return self.head(
            torch.cat([functional.adaptive_avg_pool2d(x, 1), functional.adaptive_max_pool2d(x, 1)], 1).flatten(1)
        )


class Depthwise(nn.Module):
    """Groups, ReLU6, padding 'same' with an even kernel, squeeze and excitation, average pooling without borders."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, padding="same"), random_norm(8), nn.ReLU6())
        self.deep = nn.Sequential(
            nn.Conv2d(8, 8, 5, 2, 2, groups=8),
            random_norm(8),
            nn.Hardswish(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=2),
            nn.PReLU(8),
        )
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.deep(self.stem(x))
        x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        x = x * torch.sigmoid(self.squeeze(functional.adaptive_avg_pool2d(x, 1))) * 0.9 + 0.1
        return self.head(functional.adaptive_avg_pool2d(functional.elu(x), (2, 1)).flatten(2).mean(2))


class Flattening(nn.Module):
    """As VGG: the head reads every position."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d((5, 13)),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 5 * 13, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
NETWORKS = {
    "plain": Plain,
    "shared": Shared,
    "residual": Residual,
    "dense": Dense,
    "depthwise": Depthwise,
    "flattening": Flattening,
    "grayscale": lambda: Residual(1),
}
_MADE: dict[str, tuple[Classifier, TracedNetwork, Tensor]] = {}


def made(name: str) -> tuple[Classifier, TracedNetwork, Tensor]:
    """A classifier, traced once for all tests, and an image."""
    if name not in _MADE:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            channels = 1 if name in {"flattening", "grayscale"} else 3
            classifier = Classifier(NETWORKS[name](), size=SIZE, channels=channels, mean=[0.4], std=[0.3], name=name)
            network = open_network(classifier)
            assert isinstance(network, TracedNetwork)
            _MADE[name] = classifier, network, torch.rand(1, channels, *SIZE)
    return _MADE[name]


def pasted(image: Tensor, boxes: Tensor, patches: Tensor) -> Tensor:
    """The edited images, by a slow loop."""
    images = image.repeat(len(boxes), 1, 1, 1)
    for copy, (top, left, bottom, right), patch in zip(images, boxes.tolist(), patches, strict=True):
        copy[:, top:bottom, left:right] = patch[:, : bottom - top, : right - left]
    return images


def same(found: Tensor, wanted: Tensor) -> None:
    """Equal up to 1e-4 of what the edits change, or within single precision."""
    allowed = max(1e-4 * float(wanted.std(0).max()) if len(wanted) > 1 else 0.0, 5e-6 * float(wanted.abs().max()))
    assert float((found - wanted).abs().max()) <= allowed


@st.composite
def rectangles(draw):
    """A few boxes inside of the image, of any size: one pixel, at the border, the whole image."""
    boxes = []
    for _ in range(draw(st.integers(1, 5))):
        top, left = draw(st.integers(0, SIZE[0] - 1)), draw(st.integers(0, SIZE[1] - 1))
        boxes.append([top, left, draw(st.integers(top + 1, SIZE[0])), draw(st.integers(left + 1, SIZE[1]))])
    return torch.tensor(boxes)


@pytest.mark.parametrize("name", NETWORKS)
@given(boxes=rectangles(), seed=st.integers(0, 99), batch=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_any_patches_give_the_dense_logits(name, boxes, seed, batch):
    classifier, network, image = made(name)
    height, width = (boxes[:, 2:] - boxes[:, :2]).amax(0).tolist()
    patches = torch.rand(len(boxes), image.shape[1], height, width, generator=torch.Generator().manual_seed(seed))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*cannot be computed incrementally")
        found = LocalEdits(network, image).logits(boxes, patches, batch, cut=10_000)
    same(found, logits_of(classifier, pasted(image, boxes, patches)))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_cut_gives_the_same(name):
    classifier, network, image = made(name)
    boxes = torch.tensor([[0, 0, 6, 6], [17, 21, 22, 27], [35, 44, 40, 52], [20, 20, 21, 21], [10, 0, 16, 6]])
    wanted = logits_of(classifier, hide(image[0], boxes, torch.tensor(0.9)))
    steps = len(Program(network).steps)
    for cut in range(steps + 1):
        same(LocalEdits(network, image).logits(boxes, 0.9, cut=cut), wanted)


@pytest.mark.parametrize("name", ["residual", "depthwise", "flattening"])
@pytest.mark.parametrize(("window", "stride"), [(9, 4), (7, 7), (40, 33)])
def test_grids_of_windows_give_the_dense_logits(name, window, stride):
    classifier, network, image = made(name)
    boxes, _ = window_grid(SIZE, window, stride)
    for cover in (classifier.mean[0], torch.tensor(1.0), torch.rand(image.shape[1:])):
        wanted = logits_of(classifier, hide(image[0], boxes, cover))
        same(LocalEdits(network, image).logits(boxes, cover, 16), wanted)


def test_the_edited_images_are_the_images_with_the_patches():
    _, network, image = made("plain")
    boxes = torch.tensor([[0, 0, 3, 2], [5, 50, 9, 52], [0, 0, 40, 52]])
    patches = torch.rand(3, 3, *SIZE)
    assert torch.equal(LocalEdits(network, image).edited(boxes, patches), pasted(image, boxes, patches))
    covered = LocalEdits(network, image).edited(boxes, torch.tensor(0.25))
    assert torch.equal(covered, hide(image[0], boxes, torch.tensor(0.25)))


def test_batch_norm_padding_residual_and_activation_are_one_step():
    steps = Program(made("residual")[1]).steps
    assert sum(isinstance(step, Convolution) for step in steps) == 6
    assert len(steps) == 6 + 5  # and the normalization (- and /), the pooling, the mean and the head


def test_only_what_changes_is_computed():
    """Before the cut, a step computes less than the whole map, and its rectangle grows."""
    _, network, image = made("residual")
    program = Program(network)
    clock = Clock(image.device)
    with torch.inference_mode():
        runner, edits = Runner(program, image), LocalEdits(network, image)
        start = edits._edited_pixels(torch.tensor([[17, 21, 22, 27], [2, 3, 7, 9]]), torch.tensor(0.0), runner.pixels)
        runner.run(start, len(program.steps), clock)
    local = [covered for step, covered in zip(program.steps, clock.covered, strict=True) if isinstance(step, LocalStep)]
    assert local[0] == pytest.approx(5 * 6 / (40 * 52))
    assert local[:5] == sorted(local[:5])
    assert local[4] < 0.4 < local[-1]
    assert 0 < first_mostly_changed(program, start.rectangle) <= len(program.steps)


def test_the_cut_is_measured_once(monkeypatch):
    _, network, image = made("residual")
    asked = []
    monkeypatch.setattr(local_edits, "fastest_cut", lambda *_: asked.append(1) or 4)
    boxes, _ = window_grid(SIZE, 6, 4)
    for _ in range(3):
        LocalEdits(network, image).logits(boxes, 0.0, 19)
    assert asked == [1]


def test_an_untraceable_model_is_computed_whole_without_a_warning():
    classifier = Classifier(Untraceable(), size=(64, 70))
    image = torch.rand(3, 64, 70)
    boxes, _ = window_grid((64, 70), 16, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hidden_logits(classifier, image, boxes, torch.tensor(0.5), 8)
    same(found, logits_of(classifier, hide(image, boxes, torch.tensor(0.5))))
    assert isinstance(open_network(classifier), HookedNetwork)


@pytest.mark.parametrize("how", ["wrong", "failing"])
def test_a_broken_step_warns_once_and_the_whole_network_is_used(how, monkeypatch):
    classifier, network, image = made("residual")

    def broken(self, inputs, rectangle):
        if how == "failing":
            raise RuntimeError("out of luck")
        return torch.zeros_like(original(self, inputs, rectangle))

    original = Convolution.local
    monkeypatch.setattr(Convolution, "local", broken)
    boxes, _ = window_grid(SIZE, 10, 5)
    edits = LocalEdits(network, image)
    with pytest.warns(UserWarning, match=r"residual cannot be computed incrementally \(.*\); whole images") as said:
        found = edits.logits(boxes, 0.0, cut=10_000)
    assert len(said) == 1
    wanted = logits_of(classifier, hide(image[0], boxes, torch.tensor(0.0)))
    same(found, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(edits.logits(boxes, 0.0), wanted)


def test_changed_weights_are_noticed():
    classifier = Classifier(Residual(), size=SIZE)
    network, image = open_network(classifier), torch.rand(1, 3, *SIZE)
    boxes, _ = window_grid(SIZE, 10, 5)
    before = LocalEdits(network, image).logits(boxes, 0.0)
    with torch.no_grad():
        classifier.module.stem[0].weight.mul_(-0.5)
        classifier.module.stem[1].bias.add_(0.1)
    after = LocalEdits(network, image).logits(boxes, 0.0)
    same(after, logits_of(classifier, hide(image[0], boxes, torch.tensor(0.0))))
    assert not torch.allclose(before, after)
