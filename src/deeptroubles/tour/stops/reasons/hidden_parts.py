"""Hiding parts raises the score, and so do more eyes."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.attacks import duplication_gain, occlusion_gain
from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier
from deeptroubles.findings import ImageGrid
from deeptroubles.methods.attacks.duplication_gain import DuplicationGain
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import framed, grid, predictions, short_name
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_SEARCHED = ("rocket", "chelsea", "coffee", "china", "astronaut", "flower", "clock", "camera")
"""Photographs, of which the one with the largest gain is shown."""


def hidden_parts(workshop: Workshop) -> Shown:
    """If a part of the image is covered, the network knows less. Can it become more confident?"""
    classifier = embedded(workshop)
    names = _SEARCHED[: workshop.pick(2, len(_SEARCHED))]
    pixels = torch.stack([photograph(classifier, name) for name in names])
    found = occlusion_gain(classifier, pixels)
    row = int((found.probability[:, -1] - found.probability[:, 0]).argmax())
    steps = found.probability[row].tolist()
    doubled = pixels[[row]]
    more = duplication_gain(classifier, doubled, sources=workshop.pick(4, 8))
    named = short_name(classifier, int(logits_of(classifier, doubled).argmax()))
    path = ", ".join(percent(step) for step in steps)
    copied, covered = float(more.probability[0, -1]), float(more.covered[0, -1])
    return Shown(
        see=[
            (
                f"The probability of “{named}” goes {path} while up to three squares are covered with gray. Nothing "
                "was added, so the covered parts were evidence for other classes."
            ),
            (
                "The reverse works too. Copies of the parts that matter most, pasted elsewhere, raise it to "
                f"{percent(copied)}; gray squares at the same places give {percent(covered)}. A face with four eyes "
                "is no better face, but a network that counts parts prefers it. Where gray does the same, hiding "
                "explains it."
            ),
        ],
        numbers=[
            Number(label="Probability gained by covering three squares", value=steps[-1] - steps[0], low=0.1),
            Number(label="Probability gained by three copies of a part", value=copied - steps[0], low=0.05),
        ],
        pictures=[_covered(classifier, pixels[row], found.windows[row], steps), _copied(doubled[0], more, named)],
        commands=[
            "deeptroubles explain efficientnet-lite0 cat.jpg --method occlusion --out cat.png",
            "deeptroubles audit efficientnet-lite0 --images photos/ --checks reliance.occlusion_gain --out runs/hiding",
        ],
        tries=[
            "The check counts how many of your images gain a tenth or more of probability, with an interval.",
            "In Python: dt.attacks.occlusion_gain and dt.attacks.duplication_gain.",
        ],
    )


def _covered(classifier: Classifier, image: Tensor, windows: Tensor, steps: list[float]) -> ImageGrid:
    """The image after each step."""
    shown = [image]
    for top, left, bottom, right in windows.tolist():
        hidden = shown[-1].clone()
        hidden[:, top:bottom, left:right] = classifier.mean.flatten().view(-1, 1, 1)
        shown.append(hidden)
    names = ["the photograph", "one square covered", "two", "three"]
    captions = predictions(classifier, torch.stack(shown))
    return grid("Covered step by step, and the prediction", shown, captions, names[: len(steps)], strip=True)


def _copied(image: Tensor, more: DuplicationGain, named: str) -> ImageGrid:
    """The image before and after copies were pasted; orange: what was copied, blue: where it went."""
    sources, places = more.sources[0].tolist(), more.destinations[0].tolist()
    after = more.images[0]
    marked = after
    for source, place in zip(sources, places, strict=True):
        if any(place):
            marked = framed(framed(marked, source), place, (0.1, 0.45, 0.95))
    shares = more.probability[0]
    captions = [
        f"{named} {percent(float(shares[0]))}",
        f"{named} {percent(float(shares[-1]))}",
        "what was copied where",
    ]
    notes = ["the photograph", "with three copies", "orange: the part, blue: its copy"]
    return grid("More eyes: parts copied inside of the photograph", [image, after, marked], captions, notes, strip=True)
