"""Fairness: can the attribute be predicted?"""

from __future__ import annotations

import torch

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Estimate
from deeptroubles.planted.cues import CLASSES, CUES
from deeptroubles.planted.planting import draw, image_set
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import accuracy, network_on
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.workflows.audit import audit
from deeptroubles.workflows.mitigate import mitigate

_STRENGTH = 0.6
"""The probability that the mark has the class's color in training; otherwise, and in the test, it has any."""
_MARKS = ("red", "blue", "yellow", "green")


def fairness(workshop: Workshop) -> Shown:
    """Nobody told the network about the groups. Do its predictions reveal them, and does it serve them alike?"""
    cue, seed = CUES["patch"], workshop.seed
    shown = draw(workshop.pick(1800, 3600), cue, _STRENGTH, seed)
    new = draw(workshop.pick(800, 1600), cue, 0.0, seed + 1)
    classifier = network_on(shown, "residual", seed, name="shapes with a mark")
    right = accuracy(classifier, new.images, new.classes)
    images = image_set(new, {"mark": [_MARKS[k] for k in new.values.tolist()]})
    found = audit(classifier, images, checks=["fairness.leakage", "fairness.groups"], group="mark", seed=seed)
    leakage, groups = (
        next(f for f in found.findings if f.check == f"fairness.{name}") for name in ("leakage", "groups")
    )
    leaked = next(e for e in leakage.evidence if isinstance(e, Estimate))
    gap = next(e for e in groups.evidence if isinstance(e, Estimate))
    mended = mitigate(classifier, images, "mark", seed=seed)
    after = next((f for f in mended.audit.findings if f.check == "mitigation.reweighing"), None)
    one_of_each = torch.cat(
        [new.images[(new.values == k) & (new.classes == c)][:1] for k in range(4) for c in range(2)]
    )
    marks = [f"{mark} mark" for mark in _MARKS for _ in range(2)]
    return Shown(
        see=[
            (
                "The small square at the top right is the group. In training it agreed with the shape in "
                f"{percent(_STRENGTH + (1 - _STRENGTH) / CLASSES)} of the images; in the test it says nothing, and "
                f"accuracy is {percent(right)}."
            ),
            leakage.claim,
            groups.claim,
            *([f"What reweighing does: {after.claim}"] if after else []),
        ],
        numbers=[
            Number(label=leaked.label, value=leaked.value, low=0.05),
            Number(label=gap.label, value=gap.value, low=0.1),
        ],
        pictures=[
            grid("Shapes with each mark, and predictions", one_of_each, predictions(classifier, one_of_each), marks),
            *leakage.evidence,
            *groups.evidence[:3],
        ],
        commands=[
            "deeptroubles audit MODEL --images photos.csv --group site --checks fairness --out runs/groups",
            "deeptroubles mitigate MODEL --images photos.csv --group site --out runs/fix",
        ],
        tries=[
            "The page of deeptroubles serve compares thresholds and mitigations on images that nothing was fitted on."
        ],
    )
