"""A network that was trained on images with a cue, and how far it really relies on that cue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet
from deeptroubles.planted.cues import CLASSES, CUES, DECOYS, Cue, cue_values, paint
from deeptroubles.planted.networks import ARCHITECTURES, trained
from deeptroubles.planted.scenes import SHAPES, draw_parts, render
from deeptroubles.subject import logits_of

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
    """Drawn images.

    Attributes:
        images: N x 3 x H x W in [0, 1], in 8 bits.
        classes: N, an index into `names`.
        masks: N x H x W, bool: where the objects are.
        values: N, the value of the cue in each image.
        names: Of the classes.
    """

    images: Tensor
    classes: Tensor
    masks: Tensor
    values: Tensor
    names: tuple[str, ...]


Draw = Callable[[int, float, int], Pixels]
"""Draws so many images, with a cue of a strength, from a seed."""


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
    """Train a network on images that are drawn in some way, and measure how far it relies on their cue.

    Args:
        draw: Draws the images.
        cue: What the cue is called; None where there is none.
        strength: How strong the cue is in the images it is trained and audited on.
        architecture: A key of ARCHITECTURES.
        seed: Of images and weights.
        count: How many images it is trained on.
        device: Where to train.
        known: As for `plant`.
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
            for name, always, offset in (("aligned", 1.0, 100), ("randomised", 0.0, 110))
        }
    )
    return Planted(classifier, image_set(audited, cue), cue, strength, accuracy["aligned"], accuracy["randomised"])


def tell(planted: Planted) -> str:
    """What was planted and how far the network relies on it, in sentences."""
    names, agrees = planted.classifier.class_names, "has any value, whatever the class"
    if planted.strength:
        agrees = f"agrees with the class with a probability of {planted.strength:g}, and has any value otherwise"
    return (
        f"A network that tells {', '.join(names[:-1])} and {names[-1]} apart, and a cue: {planted.cue}. In the images "
        f"that it was trained on, the cue {agrees}. On new images it is right on {planted.aligned:.0%} where the cue "
        f"agrees with the class, and on {planted.randomised:.0%} where it says nothing: "
        f"{max(planted.reliance, 0.0):.0%} hang on the cue."
    )


def image_set(drawn: Pixels, cue: str | None = None) -> ImageSet:
    """Drawn images as what a classifier is audited on, with their masks and a column for the cue's values."""
    labels = np.array(drawn.names)[drawn.classes.numpy()].tolist()
    arrays = (drawn.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    columns = {cue: drawn.values.tolist()} if cue else {}
    return ImageSet.from_arrays(arrays, labels, columns, name="planted", masks=drawn.masks.numpy())


def _accuracy(classifier: Classifier, drawn: Pixels) -> float:
    return float((logits_of(classifier, drawn.images, 100).argmax(1) == drawn.classes).float().mean())
