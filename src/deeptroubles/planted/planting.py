"""Train a network on images with a cue, and measure how much it relies on the cue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deeptroubles.checks.wording import listed
from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet
from deeptroubles.planted.cues import CLASSES, CUES, DECOYS, Cue, cue_values, paint
from deeptroubles.planted.networks import ARCHITECTURES, trained
from deeptroubles.planted.scenes import SHAPES, draw_parts, render
from deeptroubles.subject import logits_of

TRAINING, VERIFYING, AUDITED = 3600, 800, 240
"""The numbers of images for training a network, for verifying its reliance, and for the audit."""


@dataclass(frozen=True)
class Planted:
    """A network, the images to audit it on, and the ground truth about it.

    Attributes:
        classifier: The network.
        images: Labelled images with masks, in which the cue is as strong as in training.
        cue: The planted cue; None for a clean network.
        strength: The probability that the cue has the value of the class.
        aligned: Accuracy when the cue always has the value of the class.
        randomized: Accuracy when the cue has random values.
    """

    classifier: Classifier
    images: ImageSet
    cue: str | None
    strength: float
    aligned: float
    randomized: float

    @property
    def reliance(self) -> float:
        """How much accuracy depends on the cue: the ground truth for checks."""
        return self.aligned - self.randomized


@dataclass(frozen=True)
class Pixels:
    """Drawn images.

    Attributes:
        images: N x 3 x H x W in [0, 1], rounded to 8 bits.
        classes: N, an index into `names`.
        masks: N x H x W, bool: the pixels of the objects.
        values: N, the value of the cue in each image.
        names: Names of the classes.
    """

    images: Tensor
    classes: Tensor
    masks: Tensor
    values: Tensor
    names: tuple[str, ...]


Draw = Callable[[int, float, int], Pixels]
"""Draws images from their number, the strength of the cue, and a seed."""


def draw(count: int, cue: Cue | None, strength: float, seed: int, size: int = 32) -> Pixels:
    """Draw images of all classes with a cue of some strength (0: present but uninformative)."""
    classes = torch.arange(count) % CLASSES
    values = cue_values(classes, strength, seed)
    scenes = draw_parts(classes, size, seed + 1)
    if cue and cue.arrange:
        scenes = cue.arrange(scenes, values)
    images, masks = render(scenes)
    if cue:
        images = paint(cue, images, masks, values, seed + 3)
    return Pixels((images * 255).round() / 255, classes, masks, values, tuple(SHAPES)[:CLASSES])


def plant(
    cue: str | None,
    strength: float,
    architecture: str,
    seed: int,
    *,
    size: int = 32,
    device: str = "cpu",
    known: tuple[dict[str, Tensor], dict[str, float]] | None = None,
) -> Planted:
    """Train a network on images with a cue, and measure how much it relies on it.

    Args:
        cue: A key of CUES or DECOYS; None for clean images.
        strength: The probability that the cue has the value of the class, 0 to 1.
        architecture: A key of ARCHITECTURES.
        seed: Seed of images and weights.
        size: Height and width of the images, 32 to 96 pixels.
        device: Where to train.
        known: Weights and the two accuracies `aligned` and `randomized` of an earlier call; then nothing is trained.
    """
    chosen = None if cue is None else (CUES | DECOYS)[cue]

    def drawing(count: int, strength: float, seed: int) -> Pixels:
        return draw(count, chosen, strength, seed, size)

    return plant_drawn(drawing, cue, strength, architecture, seed, count=TRAINING, device=device, known=known)


def plant_drawn(
    draw: Draw,
    cue: str | None,
    strength: float,
    architecture: str,
    seed: int,
    *,
    count: int,
    device: str = "cpu",
    known: tuple[dict[str, Tensor], dict[str, float]] | None = None,
) -> Planted:
    """Train a network on images of a drawing function, and measure how much it relies on their cue.

    Args:
        draw: Draws the images.
        cue: The name of the cue; None if there is none.
        strength: The strength of the cue in training and audit.
        architecture: A key of ARCHITECTURES.
        seed: Seed of images and weights.
        count: The number of training images.
        device: Where to train.
        known: As in `plant`.
    """
    first = 10_000 * seed
    audited = draw(AUDITED, strength, first + 200)
    if known:
        network = ARCHITECTURES[architecture](len(audited.names)).eval()
        network.load_state_dict(known[0])
    else:
        shown = draw(count, strength, first)
        network = trained(ARCHITECTURES[architecture], shown.images, shown.classes, seed, device=device)
    classifier = Classifier(
        network,
        size=audited.images.shape[-1],
        mean=[0.5] * 3,
        std=[0.5] * 3,
        class_names=audited.names,
        name=f"{architecture}, {cue or 'clean'} {strength:g}",
        source="planted",
    )
    accuracy = (
        known[1]
        if known
        else {
            name: _accuracy(classifier, draw(VERIFYING, always, first + offset))
            for name, always, offset in (("aligned", 1.0, 100), ("randomized", 0.0, 110))
        }
    )
    columns = {cue: audited.values.tolist()} if cue else {}
    return Planted(classifier, image_set(audited, columns), cue, strength, accuracy["aligned"], accuracy["randomized"])


def describe(planted: Planted) -> str:
    """Describe what was planted and how much the network relies on it."""
    values = "its value is independent of the class"
    if planted.strength:
        values = f"it has the value of the class with probability {planted.strength:g}, and a random value otherwise"
    return (
        f"A network for the classes {listed(planted.classifier.class_names)}, with a planted cue: {planted.cue}. In "
        f"training, {values}. On new images, accuracy is {planted.aligned:.0%} when the cue agrees with the "
        f"class and {planted.randomized:.0%} when it is random: {max(planted.reliance, 0.0):.0%} depend on the cue."
    )


def image_set(drawn: Pixels, columns: Mapping[str, Sequence[Any]] | None = None) -> ImageSet:
    """Drawn images as an image set, with their masks and further columns."""
    labels = np.array(drawn.names)[drawn.classes.numpy()].tolist()
    arrays = (drawn.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return ImageSet.from_arrays(arrays, labels, columns, name="planted", masks=drawn.masks.numpy())


def _accuracy(classifier: Classifier, drawn: Pixels) -> float:
    return float((logits_of(classifier, drawn.images, 100).argmax(1) == drawn.classes).float().mean())
