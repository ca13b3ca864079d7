"""Occlusion analysis."""

from __future__ import annotations

import numpy as np
import torch

from deeptroubles.attribution import occlusion
from deeptroubles.checks.wording import percent
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, over_pictures, probability, short_name
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_PHOTOGRAPHS = ("camera", "coffee", "chelsea", "rocket")
_WINDOW = 56


def occlusion_map(workshop: Workshop) -> Shown:
    """Which part of the image does the prediction need?"""
    classifier = embedded(workshop)
    names = _PHOTOGRAPHS[: workshop.pick(2, 4)]
    pixels = torch.stack([photograph(classifier, name) for name in names])
    targets = logits_of(classifier, pixels).argmax(1)
    maps = occlusion(classifier, pixels, targets, window=_WINDOW, stride=workshop.pick(28, 14))
    hidden, kept, shown = list[float](), list[float](), list[torch.Tensor]()
    for image, values, target in zip(pixels, maps, targets.tolist(), strict=True):
        for place, found in ((_peak(values, image.shape[-1]), hidden), (_peak(-values, image.shape[-1]), kept)):
            covered = _cover(image, classifier.mean, place)
            found.append(float(probability(classifier, covered[None], target)))
            shown += [image, covered] if found is hidden else [covered]
    before = [float(probability(classifier, i[None], t)) for i, t in zip(pixels, targets.tolist(), strict=True)]
    words = [short_name(classifier, target) for target in targets.tolist()]
    captions = [
        f"{word} {percent(share)}"
        for word, *shares in zip(words, before, hidden, kept, strict=True)
        for share in shares
    ]
    return Shown(
        see=[
            (
                "A gray square is moved over the image, and the map shows how much the logit of the predicted class "
                "falls at each place. Orange: covering it hurts. Blue: covering it helps. Where other logits fall as "
                "much, the probability stays."
            ),
            *(
                f"“{word}” has {percent(was)}; with its most important square covered {percent(now)}, with its least "
                f"important one {percent(other)}."
                for word, was, now, other in zip(words, before, hidden, kept, strict=True)
            ),
        ],
        numbers=[
            Number(
                label=f"“{word}”: the least important square covered, minus the most important one",
                value=b - a,
                low=0.05,
            )
            for word, a, b in zip(words, hidden, kept, strict=True)
        ],
        pictures=[
            over_pictures("How much the logit falls", maps, pixels, words, "fall of the logit"),
            grid(
                "The most and the least important square, covered",
                shown,
                captions,
                ["the photograph", "most important", "least important"] * len(names),
                columns=3,
            ),
        ],
        commands=[
            "deeptroubles explain efficientnet-lite0 photo.jpg --method occlusion --out occlusion.png",
            "deeptroubles explain efficientnet-lite0 photo.jpg --compare --out compared.png",
        ],
        tries=["--compare ranks all attribution methods on your image by how well they predict what hiding does."],
    )


def _peak(values: torch.Tensor, side: int) -> tuple[int, int]:
    """Upper left corner of the window with the largest mean value."""
    scaled = torch.nn.functional.interpolate(values[None, None].float(), size=side, mode="bilinear")
    means = torch.nn.functional.avg_pool2d(scaled, _WINDOW, 4)[0, 0]
    y, x = np.unravel_index(int(means.argmax()), means.shape)
    return int(y) * 4, int(x) * 4


def _cover(image: torch.Tensor, gray: torch.Tensor, place: tuple[int, int]) -> torch.Tensor:
    covered = image.clone()
    top, left = place
    covered[:, top : top + _WINDOW, left : left + _WINDOW] = gray.flatten().view(3, 1, 1)
    return covered
