"""Deconvolution: sharp pictures that say less than they seem to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.attribution import deconvnet, integrated_gradients, saliency
from deeptroubles.findings import Heatmaps
from deeptroubles.images.labels import find_class
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import over_pictures, short_name
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown


def deconvolution(workshop: Workshop) -> Shown:
    """Running a network backwards gives sharp pictures of edges. Do they belong to the class?"""
    classifier = embedded(workshop)
    image = photograph(classifier, "chelsea")
    predicted = int(logits_of(classifier, image[None]).argmax())
    other = find_class(classifier, "school bus")
    steps = workshop.pick(16, 64)
    methods: dict[str, Callable[[int], Tensor]] = {
        "deconvnet": lambda k: deconvnet(classifier, image, k)[0],
        "gradient": lambda k: saliency(classifier, image, k)[0],
        "integrated gradients": lambda k: integrated_gradients(classifier, image, k, steps=steps)[0],
    }
    maps = {name: [_visible(method(k)) for k in (predicted, other)] for name, method in methods.items()}
    alike = {name: _correlation(*pair) for name, pair in maps.items()}
    names = [short_name(classifier, k) for k in (predicted, other)]
    return Shown(
        see=[
            (
                f"Each pair explains the same photograph of a cat for two classes: “{names[0]}”, which the network "
                f"predicts, and “{names[1]}”, which is not there. A map that explains the class would change."
            ),
            (
                f"The correlation between the two maps is {alike['deconvnet']:.2f} for deconvnet, "
                f"{alike['gradient']:.2f} for the gradient and {alike['integrated gradients']:.2f} for integrated "
                "gradients (of absolute values). High means: much of what is seen are edges of the photograph, "
                "whatever the class."
            ),
        ],
        numbers=[
            Number(
                label="Deconvnet: correlation of maps for two classes", value=alike["deconvnet"], low=0.5, unit="number"
            )
        ],
        pictures=[_pair(name, pair, image, names) for name, pair in maps.items()],
        commands=[
            "deeptroubles explain efficientnet-lite0 cat.jpg --method deconvnet --out deconvnet.png",
            "deeptroubles audit efficientnet-lite0 --images photos/ --checks reliance.map_sanity --out runs/sanity",
        ],
        tries=["reliance.map_sanity replaces the weights layer by layer and asks which maps notice it."],
    )


def _visible(values: Tensor) -> Tensor:
    """Absolute values, smoothed a little so that they can be seen, relative to their 99th percentile."""
    smooth = torch.nn.functional.avg_pool2d(values.detach().abs()[None, None], 4)[0, 0]
    return smooth / smooth.quantile(0.99).clamp(min=1e-12)


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def _pair(name: str, pair: list[Tensor], image: Tensor, names: list[str]) -> Heatmaps:
    return over_pictures(name.capitalize(), pair, [image, image], names, "absolute value (1: the 99th percentile)")
