"""Chihuahua or muffin? Lookalikes and transfer learning."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, percent_of, predictions
from deeptroubles.tour.shared.lookalikes import NAMES, draw_lookalikes
from deeptroubles.tour.shared.networks import accuracy, as_images, embedded
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.workflows.audit import audit
from deeptroubles.workflows.train import train


def lookalikes(workshop: Workshop) -> Shown:
    """Two dark eyes and a nose, or three blueberries? And how few images does it take to learn the difference?"""
    few, many = (_set(count, workshop.seed) for count in (workshop.pick(30, 40), workshop.pick(120, 600)))
    tested, labels = draw_lookalikes(workshop.pick(60, 200), workshop.seed + 1)
    with TemporaryDirectory(prefix="deeptroubles-") as folder:
        networks = [
            train(images, Path(folder) / name, seed=workshop.seed).classifier
            for name, images in (("few", few), ("many", many))
        ]
    inputs = _enlarged(networks[1], tested)
    right = [accuracy(network, inputs, labels) for network in networks]
    network = networks[1]
    finding = audit(
        network,
        as_images(tested, [NAMES[k] for k in labels], "lookalikes"),
        checks="performance.lookalikes",
        seed=workshop.seed,
    ).findings[0]
    shares = logits_of(network, inputs).softmax(1)[torch.arange(len(labels)), labels]
    hardest = shares.argsort()[:6].tolist()
    before = predictions(embedded(workshop), inputs[:7])
    return Shown(
        see=[
            (
                f"A new last layer on the ImageNet network, fitted to {len(few)} drawings, is right on "
                f"{percent(right[0])} of {len(labels)} new ones; fitted to {len(many)}, on {percent(right[1])}. All "
                "other layers stayed as they were: what they learned from photographs is reused."
            ),
            finding.claim,
            f"The hardest drawings got {percent_of(shares[hardest].tolist())} for their true class.",
        ],
        numbers=[
            Number(label=f"Accuracy after {len(many)} drawings", value=right[1], low=0.75),
            Number(label=f"Gain over {len(few)} drawings", value=right[1] - right[0], low=0.0),
        ],
        pictures=[
            grid(
                "Chihuahuas and muffins",
                tested[:7],
                [NAMES[k] for k in labels[:7]],
                [f"ImageNet network: {text}" for text in before],
            ),
            grid(
                "The hardest ones",
                tested[hardest],
                predictions(network, inputs[hardest]),
                [f"is a {NAMES[int(labels[k])]}" for k in hardest],
            ),
            *finding.evidence,
        ],
        commands=[
            "deeptroubles train --images photos/ --out models/first",
            "deeptroubles audit models/first --checks performance.lookalikes --out runs/lookalikes",
        ],
        tries=[
            "The check finds the two classes of your network that are confused most, and maps of what separates them."
        ],
    )


def _set(count: int, seed: int) -> ImageSet:
    pixels, classes = draw_lookalikes(count, seed)
    return as_images(pixels, [NAMES[k] for k in classes], "lookalikes")


def _enlarged(network: Classifier, pixels: Tensor) -> Tensor:
    """As the network takes them."""
    images = as_images(pixels, [""] * len(pixels), "lookalikes")
    return torch.stack([network.prepare(images[row]) for row in range(len(images))])
