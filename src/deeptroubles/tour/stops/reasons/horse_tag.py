"""The horse and the source tag."""

from __future__ import annotations

import torch

from deeptroubles.checks.wording import percent
from deeptroubles.findings import Column, Table
from deeptroubles.planted.horse import draw_animals, horse_shares, stamp
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import horse
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.workflows.audit import audit


def horse_tag(workshop: Workshop) -> Shown:
    """A network recognizes horses very well. Does it look at the horse, or at the photographer's name in the corner?"""
    planted = horse(workshop)
    classifier = planted.classifier
    shares = horse_shares(classifier, 10_000 * workshop.seed + 300, workshop.pick(200, 400))
    drawn = draw_animals(torch.arange(6) % 4, workshop.seed + 7)
    tagged = stamp(drawn.images)
    finding = audit(classifier, planted.images, checks="reliance.shortcut", seed=workshop.seed).findings[0]
    columns = [Column(name="images"), Column(name="predicted as horse", kind="share")]
    rows = [
        ("horses with the tag", shares.horses_with),
        ("horses without the tag", shares.horses_without),
        ("other objects with the tag", shares.others_with),
        ("other objects without the tag", shares.others_without),
    ]
    return Shown(
        see=[
            (
                f"The network is right on {percent(planted.aligned)} of new images in which all horses have the tag, "
                "and nothing else has it. The same animals and cars are shown without and with the tag. "
                f"{percent(shares.horses_without)} of the horses without it are still predicted as horses, and "
                f"{percent(shares.others_with)} of all others with it."
            ),
            f"An audit that was told nothing about a tag says ({finding.verdict}): {finding.claim}",
        ],
        numbers=[
            Number(label="Horses without the tag that are predicted as horse", value=shares.horses_without, high=0.5),
            Number(label="Other objects with the tag that are predicted as horse", value=shares.others_with, low=0.5),
            Number(
                label="The audit finds it (1: yes)",
                value=float(finding.verdict == "fail"),
                low=1,
                high=1,
                unit="number",
            ),
        ],
        pictures=[
            grid("Without the tag", drawn.images, predictions(classifier, drawn.images)),
            grid("The same with the tag", tagged, predictions(classifier, tagged)),
            Table(title="The same images with and without the tag", columns=columns, rows=rows),
            *finding.evidence[:2],
        ],
        commands=[
            "deeptroubles planted horse --out runs/horse",
            (
                "deeptroubles audit runs/horse/horse.pt2 --classes runs/horse/classes.txt --images "
                "runs/horse/manifest.csv --out runs/horse/audit"
            ),
        ],
        tries=[
            "deeptroubles planted horse --honest trains the twin, in which the tag says nothing. The audit passes it.",
            "deeptroubles planted horse --photographs FOLDER prints the tag on your own photographs.",
        ],
    )
