"""Statistics of filter activations on digits."""

from __future__ import annotations

import numpy as np
import torch

from deeptroubles.checks.wording import percent
from deeptroubles.engine import LocalEngine
from deeptroubles.findings import Cell, Column, Heatmap, Heatmaps, Table
from deeptroubles.methods.units.feature_maps import feature_maps
from deeptroubles.methods.units.filter_statistics import filter_statistics
from deeptroubles.network import open_network
from deeptroubles.subject import Subject
from deeptroubles.tour.shared.drawing import grid, over_pictures, rounded
from deeptroubles.tour.shared.networks import DIGITS, as_images, digits, digits_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_UNITS = 16


def filter_activity(workshop: Workshop) -> Shown:
    """How often is each filter active, which ones win, and which do nothing?"""
    classifier = digits_network(workshop, "plain", 28, workshop.pick(4, 8))
    tested = digits(28).tested
    layer = [one.name for one in open_network(classifier).layers if "relu" in one.operation][-1]
    subject = Subject.unlabelled(classifier, as_images(tested.images, [DIGITS[k] for k in tested.classes], "digits"))
    found = filter_statistics(subject, LocalEngine(), layer)
    peaks = feature_maps(classifier, tested.images, layer).amax((2, 3))
    by_class = torch.stack([peaks[tested.classes == k].mean(0) for k in range(10)])
    order = found.wins.argsort()[::-1][:_UNITS].tolist()
    best = [int(peaks[:, unit].argmax()) for unit in order[:7]]
    used, spread = float((found.wins > 0).mean()), by_class / by_class.amax(0).clamp(min=1e-9)
    winners = np.stack([found.winners[unit] for unit in order[:7]]) / found.count
    rows: list[list[Cell]] = [
        [
            f"filter {unit}",
            int(found.wins[unit]),
            float(1 - found.sparsity[unit]),
            DIGITS[int(by_class[:, unit].argmax())],
        ]
        for unit in order
    ]
    columns = [
        Column(name="filter"),
        Column(name="wins", kind="number"),
        Column(name="share of active positions", kind="share"),
        Column(name="strongest for"),
    ]
    return Shown(
        see=[
            (
                f"The last layer has {len(found.wins)} filters. {percent(used)} of them are ever the most active one "
                f"of the layer at some position, and {int(found.dead.sum())} are dead: they never respond."
            ),
            (
                "The table of digits and filters shows that most filters respond to several digits. Only their "
                "pattern tells the digit. The maps show where a filter wins most often."
            ),
        ],
        numbers=[
            Number(label="Filters that win somewhere", value=used, low=0.3),
            Number(label="Dead filters", value=float(found.dead.sum()), high=len(found.dead) // 4, unit="number"),
        ],
        pictures=[
            Heatmaps(
                title="Mean activation by digit, for the filters that win most often",
                items=[
                    Heatmap(
                        values=rounded(spread[:, order].numpy(), 2),
                        caption="1: the digit that the filter responds to most",
                        alt="Mean activation of each filter for each digit",
                        x_ticks=[str(unit) for unit in order],
                        y_ticks=list(DIGITS),
                    )
                ],
                scale_label="mean activation, relative to the filter's strongest digit",
                low=0.0,
                high=1.0,
                x_label="filter",
                y_label="digit",
            ),
            grid(
                "The digit that excites each filter most", tested.images[best], [f"filter {unit}" for unit in order[:7]]
            ),
            over_pictures(
                "Where each filter wins",
                list(winners),
                [tested.images.mean(0)] * 7,
                [f"filter {unit}" for unit in order[:7]],
                "share of images",
            ),
            Table(title="The filters that win most often", columns=columns, rows=rows),
        ],
        commands=["deeptroubles units MODEL --images digits/ --out runs/units", "deeptroubles serve runs/units"],
        tries=["deeptroubles audit MODEL --checks units finds dead and duplicate units in every layer."],
    )
