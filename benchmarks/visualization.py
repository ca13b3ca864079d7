"""The cost of activation maximization: all channels in one batch, compared with one channel at a time.

Run `python benchmarks/visualization.py`. The reference is the recipe of lucid and lucent 0.1.8: a Fourier image in
decorrelated colors, lucid's standard transforms, a hook, `loss.backward()` and Adam. (Lucent itself needs kornia 0.4.1
or older.) Times are minima over alternating rounds; the recipe is timed on a few channels, since it processes one at a
time.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))

import deeptroubles as dt
from deeptroubles.methods.units.activation_maximization import activation_maximization

ANGLES = [*range(-10, 11), 0, 0, 0, 0, 0]
COLOR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


def small_cnn() -> dt.Classifier:
    """Two convolutions and two linear layers for 28 x 28 grayscale pixels, with random weights."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 49, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    return dt.Classifier(network, size=28, channels=1, name="small CNN")


def recipe(classifier: dt.Classifier, layer: str, channel: int, steps: int) -> Tensor:
    """The image of one channel, as in lucent."""
    height, width = classifier.size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    scale = torch.from_numpy(1 / np.maximum(frequency, 1 / max(height, width))).float()[..., None]
    parameters = (torch.randn(1, classifier.channels, *scale.shape[:2], 2) * 0.01).requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    kept: list[Tensor] = []
    hook = classifier.module.get_submodule(layer).register_forward_hook(lambda *called: kept.append(called[2]))

    def image() -> Tensor:
        plane = torch.fft.irfftn(torch.view_as_complex(scale * parameters), s=classifier.size, norm="ortho") / 4
        if classifier.channels == 3:
            color = (COLOR / COLOR.norm(dim=0).max()).T
            plane = (plane.permute(0, 2, 3, 1) @ color).permute(0, 3, 1, 2)
        return torch.sigmoid(plane)

    for _ in range(steps):
        optimizer.zero_grad()
        kept.clear()
        classifier(transformed(image(), classifier.size))
        (-kept[0][:, channel].mean()).backward()
        optimizer.step()
    hook.remove()
    return image().detach()


def transformed(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Lucent's standard transforms: pad, jitter, scale, rotate, jitter, and resize to the input size."""
    image = jitter(functional.pad(image, [12] * 4, value=0.5), 8)
    before = np.array(image.shape[2:])
    scaled = np.ceil(np.random.default_rng().choice([1 + (i - 5) / 50 for i in range(11)]) * before).astype(int)
    y, x = np.maximum(0, np.ceil((before - scaled) / 2)).astype(int).tolist()
    image = functional.interpolate(image, tuple(scaled.tolist()), mode="bilinear", align_corners=True)
    image = functional.pad(image, [x, x, y, y])
    angle = np.deg2rad(np.random.default_rng().choice(ANGLES))
    image = warped(image, [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])
    return functional.interpolate(jitter(image, 4), size, mode="bilinear", align_corners=True)


def jitter(image: Tensor, limit: int) -> Tensor:
    """Shift by less than `limit` pixels, by resampling, as lucent does with kornia."""
    down, right = np.random.default_rng().integers(0, limit, 2)
    return warped(image, [[1, 0, -2 * right / image.shape[3]], [0, 1, -2 * down / image.shape[2]]])


def warped(image: Tensor, affine: Sequence[Sequence[float]]) -> Tensor:
    """Apply an affine map to an image."""
    grid = functional.affine_grid(torch.tensor([affine], dtype=torch.float32), list(image.shape), align_corners=False)
    return functional.grid_sample(image, grid, align_corners=False)


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, "
        f"minimum of {options.rounds} rounds\n"
    )
    print(
        "| model | layer | channels | steps | ours (s) | channels / s | the recipe (s per channel) | channels / s "
        "| times faster |"
    )
    print("|---|---|" + "---:|" * 7)
    lite = dt.load_classifier("efficientnet-lite0")
    small = small_cnn()
    cases = (
        (small, "0", 32, 256, 32),
        (small, "3", 64, 256, 64),
        (lite, "_blocks.1", 16, 40, 4),
        (lite, "_blocks.8", 16, 40, 4),
    )
    for case in cases:
        print(row(*case, rounds=options.rounds), flush=True)


def row(classifier: dt.Classifier, layer: str, count: int, steps: int, batch: int, *, rounds: int) -> str:
    """One line of the table. The recipe is timed on four channels, ours on all. Tracing is excluded."""
    classifier.eval()
    units = list(range(count))
    activation_maximization(classifier, layer, units[:1], steps=1)
    recipe(classifier, layer, 0, 1)
    ours = theirs = float("inf")
    for _ in range(rounds):
        work = partial(activation_maximization, classifier, layer, units, steps=steps, batch_size=batch)
        ours = min(ours, seconds(work))
        theirs = min(theirs, *(seconds(partial(recipe, classifier, layer, unit, steps)) for unit in units[:4]))
    cells = (
        classifier.name,
        layer,
        count,
        steps,
        f"{ours:.2f}",
        f"{count / ours:.2f}",
        f"{theirs:.2f}",
        f"{1 / theirs:.2f}",
        f"**{theirs * count / ours:.1f}**",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
