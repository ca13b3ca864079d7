"""A network that was trained on images with a cue, and how far it really relies on that cue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet
from deeptroubles.planted.cues import CLASSES, CUES, DECOYS, Cue, cue_values, paint
from deeptroubles.planted.networks import ARCHITECTURES, trained
from deeptroubles.planted.scenes import SHAPES, draw_parts, render
from deeptroubles.subject import answer

TRAINING, VERIFYING, AUDITED = 3600, 800, 240
"""How many images each network is trained on, its reliance is verified on, and it is audited on."""


@dataclass(frozen=True)
class Planted:
    """A network, the images to audit it on, and the truth about it.

    Attributes:
        classifier: The network.
        images: Labelled images with masks, in which the cue is as strong as in training.
        cue: What was planted; None for a clean network.
        strength: With which probability the cue had the value of the class.
        aligned: Accuracy where the cue always has the value of the class.
        randomised: Accuracy where the cue has any value.
    """

    classifier: Classifier
    images: ImageSet
    cue: str | None
    strength: float
    aligned: float
    randomised: float

    @property
    def reliance(self) -> float:
        """How much accuracy hangs on the cue: the truth that a check is measured against."""
        return self.aligned - self.randomised


@dataclass(frozen=True)
class Pixels:
    """Drawn images (N x 3 x H x W in [0, 1], in 8 bits), their classes (N) and their objects' masks (N x H x W)."""

    images: Tensor
    classes: Tensor
    masks: Tensor


def draw(count: int, cue: Cue | None, strength: float, seed: int, size: int = 32) -> Pixels:
    """Draw images of all classes with a cue of some strength (0: it is there, and says nothing)."""
    classes = torch.arange(count) % CLASSES
    values = cue_values(classes, strength, seed)
    scenes = draw_parts(classes, size, seed + 1)
    if cue and cue.arrange:
        scenes = cue.arrange(scenes, values)
    images, masks = render(scenes)
    if cue:
        images = paint(cue, images, masks, values, seed + 3)
    return Pixels((images * 255).round() / 255, classes, masks)


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
    """Train a network on images with a cue, and measure how far it relies on it.

    Args:
        cue: A key of CUES or DECOYS; None for clean images.
        strength: With which probability the cue has the value of the class, 0 to 1.
        architecture: A key of ARCHITECTURES.
        seed: Of images and weights.
        size: Height and width of the images, 32 to 96 pixels.
        device: Where to train.
        known: Weights, and the two accuracies `aligned` and `randomised`, of the same call before; nothing is trained.
    """
    chosen = None if cue is None else (CUES | DECOYS)[cue]
    first = 10_000 * seed
    if known:
        network = ARCHITECTURES[architecture](CLASSES).eval()
        network.load_state_dict(known[0])
    else:
        shown = draw(TRAINING, chosen, strength, first, size)
        network = trained(ARCHITECTURES[architecture], shown.images, shown.classes, seed, device=device)
    classifier = Classifier(
        network, size=size, mean=[0.5] * 3, std=[0.5] * 3, class_names=list(SHAPES)[:CLASSES],
        name=f"{architecture}, {cue or 'clean'} {strength:g}", source="planted",
    )  # fmt: skip
    accuracy = known[1] if known else {
        name: _accuracy(classifier, draw(VERIFYING, chosen, always, first + offset, size))
        for name, always, offset in (("aligned", 1.0, 100), ("randomised", 0.0, 110))
    }  # fmt: skip
    return Planted(classifier, image_set(draw(AUDITED, chosen, strength, first + 200, size)), cue, strength,
                   accuracy["aligned"], accuracy["randomised"])  # fmt: skip


def image_set(drawn: Pixels) -> ImageSet:
    """Drawn images as what a classifier is audited on, with their masks."""
    names = np.array(list(SHAPES))[drawn.classes.numpy()]
    arrays = (drawn.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return ImageSet.from_arrays(arrays, names.tolist(), name="planted", masks=drawn.masks.numpy())


def _accuracy(classifier: Classifier, drawn: Pixels) -> float:
    return float((answer(classifier, drawn.images, 100).argmax(1) == drawn.classes).float().mean())
