"""Accuracy here is not accuracy there."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Column, Curve, Series, Table
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import DIGITS, accuracy, digits, digits_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.transforms import corrupt

_CORRUPTIONS = ("gaussian_noise", "defocus_blur", "contrast", "fog", "pixelate", "jpeg_compression")


def corruptions(workshop: Workshop) -> Shown:
    """A network is nearly perfect on its test set. What is it worth in bad weather, or in another place?"""
    classifier = digits_network(workshop, "plain", 28, workshop.pick(4, 8))
    tested = digits(28).tested
    count = workshop.pick(150, 397)
    images, classes = tested.images[:count], tested.classes[:count]
    right = accuracy(classifier, tested.images, tested.classes)
    series = []
    for name in _CORRUPTIONS:
        shares = [right, *(accuracy(classifier, corrupt(images, name, s), classes) for s in (1, 3, 5))]
        series.append(Series(name=name.replace("_", " "), x=[0.0, 1.0, 3.0, 5.0], y=shares))
    worst = min(series, key=lambda line: line.y[-1])
    domains = _domains(tested.images, tested.classes)
    there = {name: accuracy(classifier, pixels, labels) for name, (pixels, labels) in domains.items()}
    foreign = min(there, key=lambda name: there[name])
    shown = torch.stack([images[0], *(corrupt(images[:1], name, 5)[0] for name in _CORRUPTIONS)])
    return Shown(
        see=[
            (
                f"Digits by writers that the network has not seen: {percent(right)} are right. With {worst.name} of "
                f"the highest severity it is {percent(worst.y[-1])}; the same digits, only harder to see."
            ),
            (
                f"Another domain needs no bad weather: {foreign} give {percent(there[foreign])}. People read all of "
                "them. An accuracy belongs to the images that it was measured on."
            ),
        ],
        numbers=[
            Number(label="Accuracy on the test set", value=right, low=0.9),
            Number(label="Accuracy lost to the worst corruption", value=right - worst.y[-1], low=0.2),
            Number(label="Accuracy lost in the hardest domain", value=right - there[foreign], low=0.2),
        ],
        pictures=[
            grid(
                "One digit under six corruptions, severity 5",
                shown,
                predictions(classifier, shown),
                ["as it is", *(name.replace("_", " ") for name in _CORRUPTIONS)],
            ),
            Curve(
                title="Accuracy by severity",
                x_label="severity (0: as it is)",
                y_label="accuracy",
                series=series,
                y_range=(0.0, 1.0),
            ),
            Table(
                title="Accuracy in other domains",
                columns=[Column(name="digits"), Column(name="accuracy", kind="share")],
                rows=[[name, share] for name, share in ({"the test set": right} | there).items()],
            ),
            *(
                grid(name.capitalize(), pixels[:7], predictions(classifier, pixels[:7]))
                for name, (pixels, _) in domains.items()
            ),
        ],
        commands=[
            "deeptroubles audit MODEL --images photos/ --checks stability.corruption --out runs/weather",
            "deeptroubles audit MODEL --images elsewhere/ --checks performance.accuracy --out runs/elsewhere",
        ],
        tries=["All nineteen corruptions of ImageNet-C are in dt.transforms.corrupt."],
    )


def _domains(images: Tensor, classes: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The same ten classes from elsewhere."""
    turned = torch.rot90(images, -1, (2, 3))[:100]
    return {
        "printed digits": _printed(),
        "dark digits on white paper": (1 - images, classes),
        "smaller digits": (_smaller(images), classes),
        "digits on their side": (turned, classes[:100]),
    }


def _printed() -> tuple[Tensor, Tensor]:
    """Digits of a typeface, in several sizes and places."""
    pictures, labels = [], []
    for size in (18, 22, 26):
        for shift in (-2, 0, 2):
            for label, text in enumerate(DIGITS):
                canvas = Image.new("L", (28, 28))
                place = (14 + shift, 14)
                ImageDraw.Draw(canvas).text(place, text, fill=255, font=ImageFont.load_default(size), anchor="mm")
                pictures.append(np.asarray(canvas, dtype=np.float32) / 255)
                labels.append(label)
    return torch.from_numpy(np.stack(pictures))[:, None], torch.tensor(labels)


def _smaller(images: Tensor) -> Tensor:
    small = torch.nn.functional.interpolate(images, size=14, mode="bilinear", antialias=True)
    return torch.nn.functional.pad(small, (7, 7, 7, 7))
