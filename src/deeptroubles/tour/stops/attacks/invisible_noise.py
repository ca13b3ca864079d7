"""Invisible noise: any image into any class."""

from __future__ import annotations

import torch

from deeptroubles.attacks import pgd, target_matrix
from deeptroubles.checks.wording import percent
from deeptroubles.findings import Heatmap, Heatmaps
from deeptroubles.images.labels import find_class
from deeptroubles.tour.shared.drawing import grid, predictions, rounded, short_name
from deeptroubles.tour.shared.networks import DIGITS, digits, digits_network, embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_TARGETS = {
    "chelsea": "guacamole",
    "coffee": "strawberry",
    "camera": "flamingo",
    "china": "school bus",
    "rocket": "goldfish",
}
_LEVELS = 2
"""The largest change of a color value, of 255."""
_AMPLIFIED = 30


def invisible_noise(workshop: Workshop) -> Shown:
    """How little must be changed so that any photograph becomes any class we like?"""
    classifier = embedded(workshop)
    names = list(_TARGETS)[: workshop.pick(3, 5)]
    pixels = torch.stack([photograph(classifier, name) for name in names])
    wanted = [find_class(classifier, _TARGETS[name]) for name in names]
    found = pgd(classifier, pixels, targets=wanted, epsilon=_LEVELS / 255)
    change = (0.5 + _AMPLIFIED * (found.images - pixels)).clamp(0, 1)
    before, after = predictions(classifier, pixels), predictions(classifier, found.images)
    strips = [
        grid(
            f"{short_name(classifier, wanted[k])} from {before[k].rsplit(' ', 1)[0]}",
            [pixels[k], change[k], found.images[k]],
            [before[k], f"change x {_AMPLIFIED}", after[k]],
            strip=True,
        )
        for k in range(len(pixels))
    ]
    small, tested = digits_network(workshop, "plain", 28, workshop.pick(4, 8)), digits(28).tested
    starts = tested.images[[int((tested.classes == k).nonzero()[0, 0]) for k in range(10)]]
    pairs = target_matrix(small, starts, steps=workshop.pick(40, 100))
    others = ~torch.eye(10, dtype=torch.bool)
    reached = float(pairs.success[others].float().mean())
    sizes = torch.where(pairs.success, pairs.distance, torch.nan)
    row = int(sizes.nan_to_num(0).sum(1).argmin())
    return Shown(
        see=[
            (
                f"No color value changes by more than {_LEVELS} of 255 levels. The middle picture of each group shows "
                f"the change, {_AMPLIFIED} times amplified around gray; the right one is predicted as the class that "
                "we chose."
            ),
            (
                f"On the digits network every pair is tried: {percent(reached)} of the 90 pairs of a digit and "
                "another class are reached. The table shows how large the smallest change found is (L2 norm). Below "
                f"it, one “{DIGITS[row]}” on its way to all ten classes."
            ),
        ],
        numbers=[
            Number(
                label="Photographs that become the chosen class", value=float(found.success.float().mean()), low=0.6
            ),
            Number(label="Pairs of digits that are reached", value=reached, low=0.95),
        ],
        pictures=[
            *strips,
            Heatmaps(
                title="The change that turns one digit into another",
                items=[
                    Heatmap(
                        values=rounded(sizes.numpy(), 3),
                        caption="0: the unchanged image is predicted as this class already",
                        alt="Size of the smallest change for each pair of digits",
                        x_ticks=list(DIGITS),
                        y_ticks=list(DIGITS),
                    )
                ],
                scale_label="L2 norm of the change",
                low=0.0,
                high=float(sizes.nan_to_num(0).max()),
                x_label="predicted after the change",
                y_label="digit",
            ),
            grid(
                f"The same {DIGITS[row]}, predicted as every digit",
                pairs.images[row],
                predictions(small, pairs.images[row]),
            ),
        ],
        commands=[
            "deeptroubles audit efficientnet-lite0 --images photos/ --checks adversarial --out runs/attacks",
            "deeptroubles serve efficientnet-lite0 --images photos/   # the page “Attack lab”",
        ],
        tries=[
            "Attacks stop as soon as the prediction is the wanted one, so its probability is just beyond the boundary.",
            "deeptroubles mend MODEL --by adversarial trains a small network against it.",
        ],
    )
