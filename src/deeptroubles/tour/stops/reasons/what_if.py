"""What if? Edit the image and watch the prediction."""

from __future__ import annotations

import torch

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Curve, Series
from deeptroubles.methods.edits.apply_edits import apply_edits
from deeptroubles.methods.edits.kinds import Edit, read_edit
from deeptroubles.methods.edits.response_curve import response_curve, versions
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, predictions, short_name
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_EDITS: dict[str, list[dict[str, object]]] = {
    "the photograph": [],
    "turned by 90 degrees": [{"kind": "turn", "degrees": 90}],
    "upside down": [{"kind": "mirror", "axis": "vertical"}],
    "other colors": [{"kind": "hue", "degrees": 150}],
    "gray": [{"kind": "saturation", "factor": 0}],
    "dark": [{"kind": "brightness", "amount": -0.4}],
    "closer": [{"kind": "scale", "factor": 1.8}],
    "blurred": [{"kind": "blur", "sigma": 3}],
    "frost": [{"kind": "corruption", "name": "frost", "severity": 4}],
    "JPEG, quality 5": [{"kind": "jpeg", "quality": 5}],
}


def what_if(workshop: Workshop) -> Shown:
    """What would the network say if the cup were gray, turned, or out of focus?"""
    classifier = embedded(workshop)
    image = photograph(classifier, "coffee")
    edited = torch.stack([apply_edits(image, [read_edit(edit) for edit in edits]) for edits in _EDITS.values()])
    predicted = logits_of(classifier, edited).argmax(1)
    target, changed = int(predicted[0]), int((predicted != predicted[0]).sum())
    turn: list[Edit] = [read_edit({"kind": "turn", "degrees": 0})]
    angles = [float(angle) for angle in range(-180, 181, workshop.pick(20, 10))]
    shares = response_curve(classifier, image, versions(turn, 0, "degrees", angles), [target])[:, 0]
    named = short_name(classifier, target)
    return Shown(
        see=[
            (
                f"{changed} of {len(_EDITS) - 1} edits change the prediction. A person would call all of them the "
                "same cup."
            ),
            (
                f"Turned around its center, the same photograph is “{named}” with {percent(float(shares.min()))} to "
                f"{percent(float(shares.max()))}."
            ),
        ],
        numbers=[
            Number(label="Edits that change the prediction", value=changed, low=1, unit="number"),
            Number(label="Range of the probability over all angles", value=float(shares.max() - shares.min()), low=0.1),
        ],
        pictures=[
            grid("Edits and predictions", edited, predictions(classifier, edited), list(_EDITS)),
            Curve(
                title="The photograph, turned",
                x_label="degrees",
                y_label=f"probability of {named}",
                series=[Series(name=named, x=angles, y=shares.tolist())],
                y_range=(0.0, 1.0),
            ),
        ],
        commands=["deeptroubles serve efficientnet-lite0 --images photos/"],
        tries=["On the page “What if”, paint, erase, turn or swap the background, and watch the prediction change."],
    )
