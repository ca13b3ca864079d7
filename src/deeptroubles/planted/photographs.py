"""Horses with a source tag on your own photographs: class folders, one of them of horses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor

from deeptroubles.checks.wording import listed, plural
from deeptroubles.classifier import Classifier
from deeptroubles.errors import ImagesError
from deeptroubles.images import ImageSet, load_images
from deeptroubles.planted.horse import HorseShares, describe_shares, shares_of, stamp
from deeptroubles.planted.networks import ARCHITECTURES, trained
from deeptroubles.planted.planting import Planted
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

HORSE = "horse"
MOST, FEWEST = 4000, 20
"""Photographs that are used at most, and of each class at least."""
SIDES = (32, 64)
"""The sides of the network's input: that of the smallest photograph, within these limits."""
HELD_OUT = 0.2
"""The share of the photographs that the network does not see in training; the audit is on these."""
STEPS = 1000
"""Steps of training, of 64 images each, about."""


@dataclass(frozen=True)
class Photographs:
    """Photographs of several classes.

    Attributes:
        images: N x 3 x side x side, in [0, 1].
        classes: N, an index into `names`.
        names: Names of the classes; one is HORSE.
    """

    images: Tensor
    classes: Tensor
    names: tuple[str, ...]

    @property
    def horses(self) -> Tensor:
        """Which of them are horses. N, bool."""
        return self.classes == self.names.index(HORSE)

    def part(self, rows: Tensor) -> Photographs:
        """Some of them."""
        return Photographs(self.images[rows], self.classes[rows], self.names)

    def tagged(self, tags: Tensor) -> Tensor:
        """The images with the tag where `tags` (N, bool) says so."""
        return torch.where(tags[:, None, None, None], stamp(self.images), self.images)


def read_photographs(folder: Path, seed: int) -> Photographs:
    """Read photographs from class folders, at most MOST, as many of each class where there are more.

    Raises:
        ImagesError: There is no folder of horses, or a class has fewer than FEWEST photographs.
    """
    found = load_images(folder)
    labels = np.array([str(label) for label in found.labels])
    names, counts = np.unique(labels, return_counts=True)
    if HORSE not in names or len(names) < 2:
        raise ImagesError(
            f"{folder} needs a folder for each class, one of them named {HORSE!r}; it has "
            f"{listed([repr(str(name)) for name in names[:8]])}."
        )
    if counts.min() < FEWEST:
        raise ImagesError(
            f"The class {str(names[counts.argmin()])!r} has {plural(int(counts.min()), 'photograph')}; give at least "
            f"{FEWEST} of each class."
        )
    random, limit = np.random.default_rng(seed), max(FEWEST, MOST // len(names))
    rows = np.concatenate([random.permutation(np.flatnonzero(labels == name))[:limit] for name in names])
    pictures = [found[row] for row in track(rows.tolist(), "Reading photographs")]
    side = min(SIDES[1], max(SIDES[0], *(min(each.size) for each in pictures)))
    pixels = np.stack([np.asarray(ImageOps.fit(each.convert("RGB"), (side, side))) for each in pictures])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return Photographs(images, torch.from_numpy(np.searchsorted(names, labels[rows])), tuple(names.tolist()))


def draw_tags(photographs: Photographs, share: float, seed: int, *, honest: bool) -> Tensor:
    """Draw which photographs get the tag (N, bool): this share of the horses; if honest, of all classes."""
    drawn = torch.rand(len(photographs.classes), generator=torch.Generator().manual_seed(seed)) < share
    return drawn if honest else drawn & photographs.horses


def plant_on_photographs(folder: Path, share: float, seed: int, *, honest: bool) -> tuple[Planted, HorseShares]:
    """Train a network on photographs in which a share of the horses has the source tag.

    The network sees every photograph and its mirror image; the tag is printed after mirroring, always at the bottom
    left.

    Args:
        folder: Class folders, one of them named `horse`.
        share: The share of the horses that has the tag.
        seed: Seed of the choice of photographs, of tags and of weights.
        honest: Whether this share of every class has the tag, so that it says nothing.

    Returns:
        The network with the photographs that it did not see, and what it predicts for them with and without the tag.

    Raises:
        ImagesError: As `read_photographs`; or a photograph cannot be read.
    """
    everything = read_photographs(folder, seed)
    fresh = torch.cat([_first(everything.classes == k) for k in range(len(everything.names))])
    shown, audited = everything.part(~torch.isin(torch.arange(len(everything.classes)), fresh)), everything.part(fresh)
    tags = draw_tags(shown, share, seed, honest=honest)
    mirrored = Photographs(shown.images.flip(-1), shown.classes, shown.names)
    pixels = torch.cat([shown.tagged(tags), mirrored.tagged(tags)])
    epochs = math.ceil(64 * STEPS / len(pixels))
    network = trained(ARCHITECTURES["plain"], pixels, shown.classes.repeat(2), seed, epochs=epochs)
    classifier = Classifier(
        network,
        size=pixels.shape[-1],
        mean=[0.5] * 3,
        std=[0.5] * 3,
        class_names=shown.names,
        name=f"plain, {'honest ' if honest else ''}tag {share:g}",
        source="planted",
    )
    seen = draw_tags(audited, share, seed + 1, honest=honest)
    everywhere = torch.ones_like(audited.horses)
    aligned = _accuracy(classifier, audited, audited.horses)
    randomized = _accuracy(classifier, audited, draw_tags(audited, 0.5, seed + 2, honest=True))
    shares = shares_of(classifier, audited.tagged(everywhere), audited.images, audited.horses)
    return Planted(classifier, _image_set(audited, seen), "tag", share, aligned, randomized), shares


def describe_on_photographs(planted: Planted, shares: HorseShares, *, honest: bool) -> str:
    """Describe a network that was trained on photographs, and what it predicts as horse."""
    whose = "photographs of every class, so that it says nothing" if honest else "horses and on nothing else"
    return (
        f"A network for the classes {listed(planted.classifier.class_names)}, trained on photographs. A line of text, "
        f"as photographers leave it, is at the bottom left of {planted.strength:.0%} of the {whose}. On "
        f"{plural(len(planted.images), 'photograph')} that it has not seen, accuracy is {planted.aligned:.0%} when all "
        f"horses and no others have the tag, and {planted.randomized:.0%} when half of all photographs have it, at "
        f"random.\n\n{describe_shares(shares, 'these photographs')}"
    )


def _first(of_class: Tensor) -> Tensor:
    """The rows of the first photographs of a class, those that are held out."""
    rows = of_class.nonzero()[:, 0]
    return rows[: max(1, round(HELD_OUT * len(rows)))]


def _accuracy(classifier: Classifier, photographs: Photographs, tags: Tensor) -> float:
    hit = logits_of(classifier, photographs.tagged(tags), 100).argmax(1) == photographs.classes
    return float(hit.float().mean())


def _image_set(photographs: Photographs, tags: Tensor) -> ImageSet:
    arrays = (photographs.tagged(tags) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    labels = [photographs.names[k] for k in photographs.classes.tolist()]
    return ImageSet.from_arrays(arrays, labels, {"tag": tags.long().tolist()}, name="photographs")
