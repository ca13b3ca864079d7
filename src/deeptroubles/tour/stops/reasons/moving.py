"""Moving the object changes the score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Curve, Heatmap, Heatmaps, Series
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import framed, grid, probability, rounded, short_name
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.transforms import shift

_SMALL = 128
"""Side of the photograph that is moved over a gray canvas."""


def moving(workshop: Workshop) -> Shown:
    """A cup stays a cup wherever it stands. Does the network agree?"""
    classifier = embedded(workshop)
    image = photograph(classifier, "coffee")
    target = int(logits_of(classifier, image[None]).argmax())
    named = short_name(classifier, target)
    side = image.shape[-1]
    places = torch.linspace(0, side - _SMALL, workshop.pick(9, 17)).round().int().tolist()
    small = functional.interpolate(image[None], size=_SMALL, mode="bilinear", antialias=True)[0]
    moved = torch.stack([_placed(small, classifier.mean, side, y, x) for y in places for x in places])
    shares = probability(classifier, moved, target)
    map_ = shares.view(len(places), -1)
    steps = list(range(0, 33, workshop.pick(2, 1)))
    along = probability(classifier, torch.stack([shift(image, 0, x) for x in steps]), target)
    best, worst = int(shares.argmax()), int(shares.argmin())
    low, high = float(shares.min()), float(shares.max())
    ends = [framed(moved[i], _box(places, i)) for i in (best, worst)]
    near = [float(share) for step, share in zip(steps, along.tolist(), strict=True) if step <= 8]
    return Shown(
        see=[
            (
                "The same small photograph of a cup lies on gray. Only its place changes, and the probability of "
                f"“{named}” changes with it, from {percent(low)} to {percent(high)}."
            ),
            (
                f"The whole photograph, moved to the right by up to 8 pixels, gives {percent(min(near))} to "
                f"{percent(max(near))}. The curve is not smooth: convolutions with strides sample the image on a "
                "grid, and what falls between its points is seen differently (aliasing)."
            ),
        ],
        numbers=[
            Number(label="Difference between the best and the worst place", value=high - low, low=0.05),
            Number(label="Difference within 8 pixels", value=max(near) - min(near), low=0.01),
        ],
        pictures=[
            grid(
                "The best and the worst place",
                ends,
                [f"{named} {percent(high)}", f"{named} {percent(low)}"],
                ["best place", "worst place"],
                strip=True,
            ),
            Curve(
                title="The whole photograph, moved to the right",
                x_label="pixels",
                y_label=f"probability of {named}",
                series=[Series(name=named, x=[float(step) for step in steps], y=along.tolist())],
                y_range=(0.0, 1.0),
            ),
            Heatmaps(
                title="The probability at every place of the small photograph",
                items=[
                    Heatmap(
                        values=rounded(map_.numpy()),
                        caption=f"Probability of {named}",
                        alt=f"Probability of {named} by the place of the photograph, {percent(low)} to {percent(high)}",
                        x_ticks=[str(x) for x in places],
                        y_ticks=[str(y) for y in places],
                    )
                ],
                scale_label=f"probability of {named}",
                low=low,
                high=high,
                x_label="left edge, in pixels",
                y_label="upper edge, in pixels",
            ),
        ],
        commands=[
            "deeptroubles audit efficientnet-lite0 --images photos/ --checks stability.translation --out runs/moving",
            "deeptroubles mend models/first --by anti-aliased --out models/second",
        ],
        tries=[
            "The check measures how often a shift by up to a few pixels changes the prediction on your images.",
            "dt.transforms.blur_pool inserts a blur before every stride, which shows how much comes from aliasing.",
        ],
    )


def _placed(small: Tensor, gray: Tensor, side: int, top: int, left: int) -> Tensor:
    """A small picture on a gray canvas."""
    canvas = gray.flatten().view(3, 1, 1).expand(3, side, side).clone()
    canvas[:, top : top + small.shape[1], left : left + small.shape[2]] = small
    return canvas


def _box(places: list[int], index: int) -> tuple[int, int, int, int]:
    top, left = places[index // len(places)], places[index % len(places)]
    return top, left, top + _SMALL, left + _SMALL
