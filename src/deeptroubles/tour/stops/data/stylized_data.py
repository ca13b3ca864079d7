"""Stylized data, and training on it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier
from deeptroubles.findings import Column, ImageGrid, Table
from deeptroubles.models import load_classifier
from deeptroubles.tour.shared.drawing import grid
from deeptroubles.tour.shared.networks import accuracy
from deeptroubles.tour.shared.textures import CLASSES, Textured, matching, mixed, texture_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.transforms import amplitude_mix, gatys, silhouette

_PAIRS = (("chelsea", "brick"), ("coffee", "gravel"))
"""Names of photographs that come with scikit-image: the shape, and the texture."""


def stylized_data(workshop: Workshop) -> Shown:
    """If the texture says nothing in training, does the network learn the shape?"""
    count, seed = workshop.pick(200, 400), workshop.seed + 11
    tested = {"plain": matching(count, seed), "stylized": mixed(count, seed)}
    found = {
        kind: {
            name: accuracy(texture_network(workshop, stylized=stylized), each.images, each.shapes)
            for name, each in tested.items()
        }
        for kind, stylized in (("plain", False), ("stylized", True))
    }
    network = load_classifier("efficientnet-lite0", size=workshop.pick(96, 160))
    shapes, styles = (torch.stack([_shown(network, name) for name in names]) for names in zip(*_PAIRS, strict=True))
    mixed_up = amplitude_mix(shapes, styles)
    transferred = gatys(network, shapes, styles, steps=workshop.pick(40, 100)).images
    horse = _shown(network, "horse")
    filled = silhouette((horse.mean(0) < 0.5).expand(2, -1, -1), styles)
    rows = [picture for k in range(2) for picture in (shapes[k], styles[k], mixed_up[k], transferred[k], filled[k])]
    return Shown(
        see=[
            (
                "Four shapes. Trained where each has the texture of its class, a network is right on "
                f"{percent(found['plain']['plain'])} of such images and on {percent(found['plain']['stylized'])} once "
                "the texture says nothing. Trained on stylized images it is right on "
                f"{percent(found['stylized']['plain'])} and {percent(found['stylized']['stylized'])}."
            ),
            (
                "Photographs with the texture of others: amplitudes of the Fourier transform (milliseconds), style "
                "transfer after Gatys (seconds), and a silhouette filled with the texture."
            ),
        ],
        numbers=[
            Number(label="Trained on plain, tested on stylized", value=found["plain"]["stylized"], high=0.6),
            Number(label="Trained on stylized, tested on stylized", value=found["stylized"]["stylized"], low=0.9),
            Number(label="Trained on stylized, tested on plain", value=found["stylized"]["plain"], low=0.9),
        ],
        pictures=[
            _scenes("Plain scenes", tested["plain"]),
            _scenes("Stylized scenes", tested["stylized"]),
            Table(
                title="Accuracy",
                columns=[
                    Column(name="trained on"),
                    *(Column(name=f"tested on {name}", kind="share") for name in tested),
                ],
                rows=[[kind, *shares.values()] for kind, shares in found.items()],
            ),
            *(
                grid(
                    f"{shape.capitalize()} with the texture of {style}",
                    rows[5 * k : 5 * k + 5],
                    ["shape", "texture", "amplitudes", "style transfer", "a silhouette"],
                )
                for k, (shape, style) in enumerate(_PAIRS)
            ),
        ],
        commands=[
            "deeptroubles stylize --images photos/ --styles paintings/ --method gatys --out stylized/",
            "deeptroubles mend models/first --by textures --out models/second",
        ],
        tries=[
            "A copy of a data set with other textures is a training set against texture, and stimuli for --conflict."
        ],
    )


def _scenes(title: str, scenes: Textured) -> ImageGrid:
    """Some of the scenes, with their class and the class that their texture belongs to."""
    shapes, textures = (each[:7].tolist() for each in (scenes.shapes, scenes.textures))
    notes = [f"{CLASSES[texture]}'s texture" for texture in textures]
    return grid(title, scenes.images[:7], [CLASSES[shape] for shape in shapes], notes)


def _shown(network: Classifier, name: str) -> Tensor:
    array = getattr(data, name)()
    image = Image.fromarray(array if array.dtype != bool else (array * 255).astype(np.uint8))
    return network.prepare(image.convert("RGB"))
