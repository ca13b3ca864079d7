"""Activation maximization from a random image of 28 x 28 pixels."""

from __future__ import annotations

from typing import Any

import torch

from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, predictions, written
from deeptroubles.tour.shared.networks import DIGITS, digits, digits_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown


def random_start(workshop: Workshop) -> Shown:
    """Start from random pixels and follow the gradient of “3”. Does a 3 appear?"""
    classifier = digits_network(workshop, "plain", 28, workshop.pick(4, 8))
    start = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(workshop.seed))
    start = (start * 255).round() / 255
    steps = (0, 4, 16, 64, 256)
    plain: dict[str, Any] = {"start": start, "parameterization": "pixel", "transform": False, "decorrelate": False}

    def ascend(count: int, **settings: Any) -> torch.Tensor:
        if not count:
            return start
        return activation_maximization(
            classifier, "logits", list(range(10)), steps=count, seed=workshop.seed, **plain | settings
        ).images

    three = torch.stack([ascend(count)[3] for count in steps])
    raw = ascend(steps[-1])
    gray = {"parameterization": "fourier", "transform": True, "start": "gray", "total_variation": 20.0, "l2": 5.0}
    smooth = ascend(steps[-1], **gray)
    shares = logits_of(classifier, raw).softmax(1).diagonal()
    average = torch.stack([digits(28).images[digits(28).classes == k].mean(0) for k in range(10)])
    return Shown(
        see=[
            (
                f"After {steps[-1]} steps the network sees its digit in every picture (the lowest probability is "
                f"{written(float(shares.min()))}), and a person sees none. No training image ever showed it noise."
            ),
            (
                "From gray, with small shifts and penalties on roughness and contrast, the pictures become smooth. "
                "Some parts of strokes can be guessed, but no digit: the average digit of the data stands below."
            ),
        ],
        numbers=[Number(label="Lowest probability of the ten pictures", value=float(shares.min()), low=0.95)],
        pictures=[
            grid(
                "From random pixels towards 3",
                three,
                predictions(classifier, three),
                [f"step {s}" for s in steps],
                strip=True,
            ),
            grid(
                "All ten digits, from random pixels",
                raw,
                predictions(classifier, raw),
                [f"ascent of {k}" for k in DIGITS],
            ),
            grid(
                "From gray, with penalties and shifts",
                smooth,
                predictions(classifier, smooth),
                [f"ascent of {k}" for k in DIGITS],
            ),
            grid("The average digit of the data", average, [f"average {k}" for k in DIGITS]),
        ],
        commands=["deeptroubles visualize MODEL logits:0-9 --parameterization pixel --out digits.png"],
        tries=["deeptroubles audit MODEL --checks adversarial.fooling asks the same of your network."],
    )
