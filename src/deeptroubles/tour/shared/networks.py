"""Networks that stops look at: the one inside the package, and small ones that are trained in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet, load_images
from deeptroubles.models import load_classifier
from deeptroubles.models.shared.small_networks import NETWORKS
from deeptroubles.planted import STRENGTH
from deeptroubles.planted.horse import plant_horse
from deeptroubles.planted.networks import ARCHITECTURES, trained
from deeptroubles.planted.planting import Pixels, Planted
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.workshop import Workshop

DIGITS = tuple("0123456789")
TESTED = 397
"""The digits that no network was trained on: the last ones, by other writers."""


def embedded(workshop: Workshop) -> Classifier:
    """The ImageNet network that comes with the package."""
    return workshop.once("embedded", lambda: load_classifier("efficientnet-lite0"))


def photographs() -> ImageSet:
    """The photographs that come with scikit-image and scikit-learn."""
    return load_images("demo")


def photograph(classifier: Classifier, name: str) -> Tensor:
    """One photograph, by the beginning of its file name, as a classifier takes it: C x H x W."""
    images = photographs()
    return classifier.prepare(images[next(i for i, path in enumerate(images.table["path"]) if path.startswith(name))])


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits, enlarged.

    Attributes:
        images: N x 1 x side x side, in [0, 1], multiples of 1/255.
        classes: N.
    """

    images: Tensor
    classes: Tensor

    @property
    def training(self) -> Digits:
        """Those to train on."""
        return Digits(self.images[:-TESTED], self.classes[:-TESTED])

    @property
    def tested(self) -> Digits:
        """Those to test on."""
        return Digits(self.images[-TESTED:], self.classes[-TESTED:])


def digits(side: int) -> Digits:
    """Handwritten digits of side x side pixels: the 8 x 8 originals, enlarged without new detail."""
    data = load_digits()
    small = torch.from_numpy(data.images / 16).float()[:, None]
    large = functional.interpolate(small, size=side, mode="bicubic", align_corners=False).clamp(0, 1)
    return Digits((large * 255).round() / 255, torch.from_numpy(data.target).long())


def digits_network(workshop: Workshop, architecture: str, side: int, epochs: int) -> Classifier:
    """A small network trained on digits; `architecture` as in `untrained:NAME`."""
    return workshop.once(
        f"digits, {architecture}, {side}", lambda: _trained_on_digits(architecture, side, epochs, workshop.seed)
    )


def _trained_on_digits(architecture: str, side: int, epochs: int, seed: int) -> Classifier:
    known = digits(side).training
    network = trained(
        lambda classes: NETWORKS[architecture](classes, 1), known.images, known.classes, seed, epochs=epochs
    )
    return Classifier(
        network, size=side, channels=1, mean=[0.5], std=[0.5], class_names=DIGITS, name=f"{architecture} on digits"
    )


def horse(workshop: Workshop) -> Planted:
    """The network of `deeptroubles planted horse`, which learned the source tag, and images that it did not see."""
    return workshop.once("horse", lambda: plant_horse(STRENGTH, workshop.seed))


def accuracy(classifier: Classifier, pixels: Tensor, classes: Tensor) -> float:
    """The share of images (N x C x H x W) that are predicted as their class (N)."""
    return float((logits_of(classifier, pixels, 100).argmax(1) == classes).float().mean())


def network_on(drawn: Pixels, architecture: str, seed: int, *, epochs: int = 8, name: str = "") -> Classifier:
    """A small network (`plain` or `residual`) trained on drawn images."""
    network = trained(ARCHITECTURES[architecture], drawn.images, drawn.classes, seed, epochs=epochs)
    side = drawn.images.shape[-1]
    return Classifier(
        network, size=side, mean=[0.5] * 3, std=[0.5] * 3, class_names=drawn.names, name=name or architecture
    )


def as_images(pixels: Tensor, labels: list[str], name: str) -> ImageSet:
    """Pixels (N x C x H x W, in [0, 1]) as a set of images."""
    arrays = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return ImageSet.from_arrays(
        arrays[..., 0] if arrays.shape[3] == 1 else np.ascontiguousarray(arrays), labels, name=name
    )
