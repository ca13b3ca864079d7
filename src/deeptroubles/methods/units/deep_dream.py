"""DeepDream: amplify what a layer detects in an image, octave by octave."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.parameters import Count, Positive, Ratio, Seed
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.methods.units.shared.ascent import activations_for_ascent
from deeptroubles.network import open_network
from deeptroubles.progress import track

_MIN_SIDE = 8


def deep_dream(
    classifier: Classifier,
    image: Tensor,
    layer: str,
    units: Sequence[int] | None = None,
    *,
    octaves: Count = 4,
    octave_scale: Ratio = 1.4,
    steps: Count = 10,
    learning_rate: Positive = 0.012,
    seed: Seed = 0,
) -> Tensor:
    """Change an image of any size by gradient ascent so that it excites a layer more.

    The ascent runs at several sizes of the image, from the smallest to its own. Only the changes are enlarged from one
    size to the next, so no details of the image are lost, and every size adds patterns of its scale.

    The network sees tiles of its input size, cut at random offsets from the image continued by its mirror images. This
    plane has no seams. A large image is covered by several tiles. A small one lies in one tile, surrounded by its
    reflections and not enlarged, so patterns keep the scale that the network was trained on.

    Args:
        classifier: The classifier.
        image: C x h x w in [0, 1], of any height and width.
        layer: Name of a layer.
        units: Amplify the mean of these units. Default: the mean square of the whole layer.
        octaves: Number of sizes; sizes under 8 pixels are skipped.
        octave_scale: Ratio of each size to the next smaller one.
        steps: Steps of gradient ascent at every size.
        learning_rate: Mean change of a pixel per step.
        seed: Decides the offsets of the tiles.

    Returns:
        C x h x w in [0, 1], rounded to 8 bits.

    Raises:
        ModelError: There is no such layer.
        UsageError: The image has another number of channels than the model, or is not in [0, 1]; there is no such
            unit; there are no octaves.

    References:
        A. Mordvintsev, C. Olah, M. Tyka: Inceptionism, 2015, and their notebook `deepdream/dream.ipynb`; tiles as in
        TensorFlow's `examples/tutorials/deepdream`.
    """
    _check(classifier, image, octaves, octave_scale)
    network = open_network(classifier)
    count = network.layer(layer).units
    if units is not None and any(not 0 <= unit < count for unit in units):
        raise UsageError(f"Layer {layer!r} has the units 0 to {count - 1}.")
    rng = np.random.default_rng(seed)
    with torch.inference_mode(mode=False), torch.enable_grad():
        activations = activations_for_ascent(network, layer)

        def value(tiles: Tensor, step: int) -> Tensor:
            seen = activations(tiles, step)
            return seen.square().mean() if units is None else by_unit(seen)[:, list(units)].mean()

        original = image.detach().to(classifier.device).clone()[None]
        sizes = _octaves((image.shape[1], image.shape[2]), octaves, octave_scale)
        added = torch.zeros_like(_resized(original, sizes[0]))
        dream = original
        for octave, step in track([(size, step) for size in sizes for step in range(steps)], "Dreaming"):
            if step == 0:
                base, added = _resized(original, octave), _resized(added, octave)
                dream = base + added
            dream.requires_grad_()
            rows, columns = (_tiles(*lengths, rng) for lengths in zip(octave, classifier.size, strict=True))
            tiles = torch.cat([dream[:, :, row][:, :, :, column] for row in rows for column in columns])
            (gradient,) = torch.autograd.grad(value(tiles, step), dream)
            change = learning_rate * gradient / gradient.abs().mean().clamp_min(1e-12)
            dream = (dream.detach() + change).clamp(0, 1)
            added = dream - base
    return as_8_bit(dream.detach())[0]


def _check(classifier: Classifier, image: Tensor, octaves: int, octave_scale: float) -> None:
    if image.ndim != 3 or image.shape[0] != classifier.channels:
        shape = " x ".join(map(str, image.shape))
        raise UsageError(f"The image has the shape {shape}; {classifier.name} needs {classifier.channels} x h x w.")
    if not (image.min() >= 0 and image.max() <= 1):
        raise UsageError("Pixels must be in [0, 1]; the classifier normalizes them.")
    if octaves < 1 or octave_scale <= 1:
        raise UsageError(
            f"There are {octaves} octaves of scale {octave_scale}; give at least 1 octave and a scale above 1."
        )


def _octaves(size: tuple[int, int], count: int, scale: float) -> list[tuple[int, int]]:
    """Heights and widths, from the smallest to the image's."""
    sizes = [(round(size[0] / scale**i), round(size[1] / scale**i)) for i in range(count)]
    return [each for i, each in enumerate(sizes) if i == 0 or min(each) >= _MIN_SIDE][::-1]


def _tiles(length: int, tile: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Indices of the pixels of every tile along one axis; outside the image they are mirrored."""
    count = math.ceil(length / tile)
    spare = count * tile - length
    start = rng.integers(-spare - tile // 16, tile // 16, endpoint=True)
    positions = (start + np.arange(count * tile)) % (2 * length)
    mirrored = np.minimum(positions, 2 * length - 1 - positions)
    return np.split(mirrored, count)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize with bilinear interpolation and anti-aliasing."""
    return functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
