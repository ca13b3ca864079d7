"""How dense is the traffic? A map that can be checked."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.attribution import cam
from deeptroubles.checks.wording import percent
from deeptroubles.planted.planting import Pixels
from deeptroubles.planted.traffic import draw_traffic
from deeptroubles.tour.shared.drawing import grid, of_class, over_pictures, predictions
from deeptroubles.tour.shared.networks import accuracy, network_on
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_SIDE = 64
_GROWN = 4
"""Pixels by which masks of vehicles are grown: one cell of the map."""


def traffic_density(workshop: Workshop) -> Shown:
    """A network tells low, medium and high traffic apart. Does the evidence for “high” lie on the vehicles?"""
    shown = _smaller(draw_traffic(workshop.pick(216, 720), 0.0, workshop.seed).pixels)
    new = _smaller(draw_traffic(workshop.pick(72, 270), 0.0, workshop.seed + 1).pixels)
    both = replace(shown, images=torch.cat([shown.images, shown.images.flip(3)]), classes=shown.classes.repeat(2))
    classifier = network_on(both, "plain", workshop.seed, epochs=14, name="traffic")
    right = accuracy(classifier, new.images, new.classes)
    dense = of_class(new.classes, 2, 30)
    maps = cam(classifier, new.images[dense], 2)
    masks = _grown(new.masks[dense])
    inside, elsewhere = (_share_inside(maps, each) for each in (masks, masks.roll(1, 0)))
    chosen = [of_class(new.classes, k, 9)[::4][:2] for k in range(3)]
    rows = [row for pair in chosen for row in pair]
    drawn = new.images[rows]
    return Shown(
        see=[
            (
                "Road scenes by day, by night and in rain; the class is the number of vehicles and nothing else. A "
                f"network that was trained here is right on {percent(right)} of new ones (guessing: 33%)."
            ),
            (
                f"These scenes know where every vehicle is, so the map can be checked: {percent(inside)} of the "
                f"evidence for “high” lies on or next to vehicles, and {percent(elsewhere)} would lie there if the "
                "vehicles were those of another scene."
            ),
        ],
        numbers=[
            Number(label="Accuracy on new scenes", value=right, low=0.5),
            Number(label="Share of the evidence on vehicles, more than by chance", value=inside - elsewhere, low=0.03),
        ],
        pictures=[
            grid(
                "Scenes and predictions",
                drawn,
                predictions(classifier, drawn),
                [new.names[int(new.classes[r])] for r in rows],
            ),
            over_pictures(
                "Evidence for “high” (class activation map)",
                cam(classifier, drawn, 2),
                drawn,
                [new.names[int(new.classes[row])] for row in rows],
                "logit per cell",
            ),
        ],
        commands=[
            "deeptroubles planted traffic --honest --out runs/traffic",
            (
                "deeptroubles train --images runs/traffic/manifest.csv --from untrained:plain --size 96 --out "
                "models/traffic"
            ),
            "deeptroubles audit models/traffic --checks reliance --out runs/traffic/audit",
        ],
        tries=["Without --honest the clock in the corner tells rush hour. The audit finds that the network reads it."],
    )


def _smaller(drawn: Pixels) -> Pixels:
    """The scenes in a size that a network learns in seconds."""
    images = functional.interpolate(drawn.images, size=_SIDE, mode="area")
    masks = functional.interpolate(drawn.masks[:, None].float(), size=_SIDE, mode="area")[:, 0] >= 0.5
    return replace(drawn, images=images, masks=masks)


def _grown(masks: Tensor) -> Tensor:
    """Masks (N x H x W) and the pixels around them."""
    return functional.max_pool2d(masks[:, None].float(), 2 * _GROWN + 1, 1, _GROWN)[:, 0] > 0


def _share_inside(maps: Tensor, masks: Tensor) -> float:
    """The share of the positive part of maps that lies inside of masks; mean over images."""
    positive = functional.interpolate(maps[:, None], size=masks.shape[-2:], mode="bilinear")[:, 0].clamp(min=0)
    shares = (positive * masks).sum((1, 2)) / positive.sum((1, 2)).clamp(min=1e-9)
    return float(torch.as_tensor(shares).mean())
